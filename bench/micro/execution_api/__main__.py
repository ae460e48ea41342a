"""Measures what running tasks cost the webserver; exits with 1 above a limit, with 2 if measuring fails.

python -m bench.micro.execution_api [--docs]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.micro.execution_api.budget import ENVIRONMENTS, budget
from bench.micro.execution_api.measure import measure
from bench.micro.execution_api.report import Report
from project.errors import CommandError

PIPED_WIDTH = 120  # characters, if the output is no terminal


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.execution_api", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks-execution-api.md")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    load_before = os.getloadavg()[0]
    try:
        with console.status("starting Postgres") as status:
            figures = measure(status.update)
        # What a process of the webserver takes at full speed; a single one takes most.
        of_process = max(-(-each.beats.connections // each.processes) for each in (figures.before, figures.now))
        budgets = [budget(name, of_process=of_process, of_roles=figures.connections) for name in ENVIRONMENTS]
    except CommandError as error:
        console.print(f"bench: {error}", style="red")
        return 2
    made = Report(figures=figures, budgets=budgets, load=(load_before, os.getloadavg()[0]))
    console.print(*(table.to_rich() for table in made.tables()), made.circumstances, sep="\n")
    made.write_json()
    if options.docs:
        made.write_docs()
    return 0 if all(verdict.holds for verdict in made.verdicts()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
