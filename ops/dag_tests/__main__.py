"""Tests a folder of DAG files with the image's packages: make test-dags DAGS=FOLDER.

Every file must import as in the DAG processor. Then the folder's own pytest files run. A line for each broken file:
FILE:LINE: what is wrong: what to do. Exit code 0 if all is well, 1 if not, 2 if nothing could be tested.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.dag_tests import own_tests
from ops.dag_tests.check import check
from project import paths
from project.errors import CommandError

BROKEN, CANNOT = 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.dag_tests", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=paths.IMAGE_SOURCE / "dags", help="the image's by default"
    )
    parser.add_argument("--budget", type=float, help="seconds that importing a file may take, 10 by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing of pytest")
    parser.add_argument("--imports-only", action="store_true", help="do not run the folder's pytest files")
    options = parser.parse_args(arguments)
    try:
        if not options.folder.is_dir():
            raise CommandError(f"{options.folder} is not a folder: set DAGS to one with DAG files")
        return _test(options)
    except CommandError as error:
        print(f"test-dags: {error}", file=sys.stderr)
        return CANNOT


def _test(options: argparse.Namespace) -> int:
    report = check(options.folder, budget_s=options.budget)
    tests = None
    if not options.json:
        sys.stdout.write("".join(f"{text}\n" for text in report.faults))
        sys.stdout.flush()
    if not report.faults and not options.imports_only and own_tests.has_tests(options.folder):
        tests = own_tests.run(options.folder, quiet=options.json)
    if options.json:
        print(json.dumps({**report.record, "tests_exit_code": tests}))
    elif not report.faults:
        print(f"test-dags: all well: {report.summary()}" if not tests else f"test-dags: its own tests fail ({tests})")
    else:
        print(f"test-dags: {len(report.faults)} broken: {report.summary()}", file=sys.stderr)
    return BROKEN if report.faults or tests else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
