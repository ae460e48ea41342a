"""Measures the autoscaler's function; exits with 1 if it exceeds a limit, with 2 if measuring fails."""

from __future__ import annotations

import argparse
import os
import sys

from rich.console import Console

from bench.micro.function import package, report
from bench.micro.function.figures import verdicts
from bench.micro.function.scenes import MOST_MEMBERS, MOST_QUEUED, changing, steady
from bench.micro.function.trial import measure
from project.errors import CommandError

PIPED_WIDTH = 120  # characters, if the output is no terminal

SCENES = (
    steady(queued=0, members=MOST_MEMBERS),
    steady(queued=1_000, members=MOST_MEMBERS),
    steady(queued=MOST_QUEUED, members=1),
    steady(queued=MOST_QUEUED, members=100),
    steady(queued=MOST_QUEUED, members=MOST_MEMBERS),
    *changing(queued=MOST_QUEUED, members=MOST_MEMBERS),
)
COLD = steady(queued=MOST_QUEUED, members=MOST_MEMBERS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.function", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks-function.md")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    load_before = os.getloadavg()[0]
    try:
        with console.status("building the package") as status:
            built = package.build()
            measured = measure(built, SCENES, cold=COLD, say=status.update)
    except CommandError as error:
        console.print(f"bench: {error}", style="red")
        return 2
    found = verdicts(cold=measured.cold, scenes=measured.scenes, package_bytes=built.size)
    made = report.Report(package=built, measured=measured, verdicts=found, load=(load_before, os.getloadavg()[0]))
    console.print(*(table.to_rich() for table in made.tables()), made.circumstances, sep="\n")
    made.write_json()
    if arguments.docs:
        made.write_docs()
    return 0 if all(verdict.holds for verdict in found) else 1


if __name__ == "__main__":
    sys.exit(main())
