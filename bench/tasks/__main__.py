"""Measures tasks side by side with stock Airflow; exits with 1 if a limit does not hold, with 2 if measuring fails.

python -m bench.tasks [--json] [--docs] [--quick]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.tasks.measure import measure
from bench.tasks.report import NOT_QUIET, Report
from bench.tasks.sizes import QUICK, WHOLE
from project.errors import CommandError
from project.paths import AIRFLOW_ENVIRONMENT, BENCH_ENVIRONMENT

ENDED = 128 + signal.SIGTERM
PIPED_WIDTH = 120  # characters, if the output is no terminal


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tasks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks-tasks.md")
    parser.add_argument("--quick", action="store_true", help="few tasks, one turn of each system: a trial")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, stderr=options.json)
    sizes = QUICK if options.quick else WHOLE
    load_before = os.getloadavg()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # what was started is ended first
    try:
        missing = [path.name for path in (AIRFLOW_ENVIRONMENT, BENCH_ENVIRONMENT) if not path.is_dir()]
        if missing:
            raise CommandError(f"{' and '.join(missing)} missing: run make setup-bench")
        with console.status("start") as status:
            result = measure(sizes, status.update)
    except CommandError as error:
        console.print(f"bench: {error}", style="red")
        return 2
    made = Report(result=result, sizes=sizes, load=(load_before, os.getloadavg()[0]))
    console.print(*(table.to_rich() for table in made.tables()), made.circumstances, sep="\n")
    if not result.is_quiet:
        console.print(NOT_QUIET)
    made.write_json()
    if options.json:
        print(made.to_json())
    if options.docs:
        made.write_docs()
    return int(made.has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
