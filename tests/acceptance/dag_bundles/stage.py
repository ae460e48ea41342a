"""Delivers versions of a bundle to a local stack while its tasks run, and writes which version each task has run.

Usage: python -m tests.acceptance.dag_bundles.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

from local.scenarios.airflow import ADMIN, Airflow
from local.stack.up import Stack, up
from ops.dags.__main__ import main as make_dags
from ops.dags.delivery import Delivery
from ops.dags.folder import read_folder
from project import paths
from project.waiting import wait_until
from tests.support.staged import perform, say

DAG, BUNDLE = "versions", "dags"
PUSHES, RUNS_A_PUSH, PUSH_EVERY_S = 10, 2, 4.0
ENDED = ("success", "failed")
PARSE_TIMEOUT_S, RUN_TIMEOUT_S = 120, 240
DAG_FILE = '''
"""Says which version it is of, in three tasks one after the other."""

import time
from datetime import timedelta

from airflow.sdk import dag, task

from beside_versions import HELPER

NUMBER = {number}


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=100,
    max_active_tasks=100,
    default_args={{"retries": 1, "retry_delay": timedelta(seconds=1)}},
)
def versions() -> None:
    @task
    def say() -> None:
        print(f"number={{NUMBER}} helper={{HELPER}}")
        time.sleep(2)

    first, second, third = (say.override(task_id=name)() for name in ("first", "second", "third"))
    first >> second >> third


versions()
'''
CODE = re.compile(r"bundle=dags bundle_version=([0-9a-f]{64})")
SAID = re.compile(r"number=(\d+) helper=(\d+)")


def main(results: Path) -> None:
    """Bring the stack up, push and run, go back, write what was seen."""
    with up(say, warn=say) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            numbers = {_push(1, stack, is_tested=True): 1}
            airflow.wait_for_dag(DAG, timeout_s=PARSE_TIMEOUT_S)
            airflow.unpause(DAG)
            runs: list[str] = []
            for number in range(2, PUSHES + 2):
                runs += [airflow.start_run(DAG, {}) for _ in range(RUNS_A_PUSH)]
                time.sleep(PUSH_EVERY_S)
                numbers[_push(number, stack)] = number
            newest = list(numbers)[-1]
            found = {
                "seconds_forward": _seen(airflow, newest),
                "seconds_back": _back(airflow, next(iter(numbers))),
                "runs": [_ended(airflow, run) for run in runs],
                "numbers": numbers,
                "refused": stack.refusals.seen(),
            }
    results.write_text(json.dumps(found, indent=2))


def _push(number: int, stack: Stack, *, is_tested: bool = False) -> str:
    """Deliver a version whose files say its number, as `make dags` does; return its name.

    Testing DAG files takes seconds, and these differ in their number only: so the command itself delivers but one.
    """
    folder = paths.STATE / "pushed"
    folder.mkdir(exist_ok=True)
    (folder / "versions.py").write_text(DAG_FILE.format(number=number))
    (folder / "beside_versions.py").write_text(f"HELPER = {number}\n")
    read = read_folder(folder)
    if not is_tested:
        Delivery(stack.clients.s3, stack.outputs["DagBucketName"], BUNDLE).upload(read)
    elif make_dags(["--env=local", f"--dags={folder}"]):
        raise RuntimeError(f"version {number} was not delivered")
    return read.manifest.version


def _seen(airflow: Airflow, version: str) -> float:
    """Wait until Airflow has parsed the DAG at this version; return the seconds."""
    began = time.monotonic()
    wait_until(lambda: _parsed(airflow) == version, what=f"parsing of version {version}", timeout_s=PARSE_TIMEOUT_S)
    return time.monotonic() - began


def _parsed(airflow: Airflow) -> str:
    return str(airflow.dag(DAG)["bundle_version"])


def _back(airflow: Airflow, version: str) -> float:
    if make_dags(["--env=local", f"--version={version[:12]}"]):
        raise RuntimeError("the first version did not come back")
    return _seen(airflow, version)


def _ended(airflow: Airflow, run: str) -> dict[str, Any]:
    """Wait for the end of a run; return its version and what each of its tasks has logged."""
    wait_until(lambda: airflow.run_state(DAG, run) in ENDED, what=f"end of {run}", timeout_s=RUN_TIMEOUT_S)
    (record,) = (each for each in airflow.runs(DAG) if each["dag_run_id"] == run)
    return {
        "version": record["bundle_version"],
        "state": record["state"],
        "tasks": [_task(airflow, instance) for instance in airflow.task_instances(DAG, run)],
    }


def _task(airflow: Airflow, instance: dict[str, Any]) -> dict[str, Any]:
    log = airflow.log(instance)
    return {
        "state": instance["state"],
        "tries": instance["try_number"],
        "logged": CODE.findall(log),
        "said": SAID.findall(log),
    }


if __name__ == "__main__":
    perform(main)
