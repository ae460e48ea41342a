"""Checks the DAG files of a folder: python -m dag_check FOLDER. The variable POOLS declares the pools of workers.

Prints a line for each file with a fault: FILE:LINE: what is wrong: what to do. Exit code 0 if there is none, 1 if there
are some, 2 if the check cannot run. The files are executed, with the rights of this process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dag_check import settings
from fleet.pools import POOLS, PoolsError, read_pools

BUDGET_S = 10.0
FOUND, CANNOT = 1, 2


def main(arguments: Sequence[str]) -> int:
    """Check the folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="dag_check", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds that importing a file may take")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="files that are read at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of lines")
    options = parser.parse_args(arguments)
    root = options.folder.resolve()
    if not root.is_dir():
        sys.stderr.write(f"dag_check: {options.folder} is not a folder\n")
        return CANNOT
    try:
        read_pools(os.environ.get(POOLS, ""))
    except PoolsError as error:
        sys.stderr.write(f"dag_check: {error}\n")
        return CANNOT
    with tempfile.TemporaryDirectory(prefix="dag-check-home-") as home:
        return _check(root, Path(home), options)


def _check(root: Path, home: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    settings.apply(root, home=home)
    os.chdir(home)
    # What Airflow prints while it is loaded is not the check's output.
    with contextlib.redirect_stdout(sys.stderr):
        # Imported here: Airflow reads its settings when it is imported.
        from dag_check import folder

        folder.load()
        files = folder.dag_files(root)
    found = folder.check(files, root=root, budget_s=options.budget, jobs=max(1, options.jobs))
    faults = [fault for each in found for fault in each.faults]
    if options.json:
        said = {
            "files": len(found),
            "dags": sorted({dag_id for each in found for dag_id in each.dags}),
            "faults": [{**fault.record(), "text": str(fault)} for fault in faults],
            "seconds": round(time.monotonic() - began, 3),
            "slowest": [
                {"file": each.file, "seconds": round(each.seconds, 3)}
                for each in sorted(found, key=lambda each: -each.seconds)[:3]
            ],
        }
        sys.stdout.write(f"{json.dumps(said)}\n")
    else:
        sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return FOUND if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
