"""Delivers versions of a bundle to a local stack while its tasks run, and writes which version each task has run.

Usage: python -m tests.acceptance.dag_bundles.stage RESULTS PUSHES RUNS
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from ops.dags.__main__ import main as make_dags
from ops.deployed import find_stack
from ops.versions.__main__ import main as make_versions
from ops.versions.check import ask_version_check
from project.errors import CommandError
from project.waiting import wait_until
from tests.acceptance.dag_bundles.pushes import BUNDLE, CHAIN, HOLDING, LOST, RELEASE, Pushes, said_by
from tests.support.staged import perform, say

PUSH_EVERY_S = 4.0
AWAY_S, RUNS_WHILE_AWAY = 10.0, 2
KEPT = 2
ENDED = ("success", "failed")
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, KNOWN_TIMEOUT_S = 120, 300, 120
DENIED = "with an explicit deny in a resource-based policy"
CODE = re.compile(r"bundle=dags bundle_version=((?:[0-9a-f]{40}-)?[0-9a-f]{64})")
SAID = re.compile(r"number=(\d+) helper=(\d+)")


def main(results: Path, *, pushes: int, runs: int) -> None:
    """Bring the stack up, push and run, spoil what can be spoilt, go back, write what was seen."""
    found: dict[str, Any] = {}
    with up(say, warn=say) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            push = Pushes(stack)
            first = push.push(is_whole_command=True)
            for dag in (CHAIN, HOLDING, LOST):
                airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
            airflow.unpause(CHAIN)
            held = airflow.trigger(HOLDING, {})
            wait_until(lambda: _is_running(airflow, held), what="the start of the long task", timeout_s=RUN_TIMEOUT_S)
            push.push()
            found["older"] = _seconds_until_known(stack, airflow, first)
            with parsed_versions(airflow) as parsed:
                started = _load(airflow, push, pushes=pushes, runs=runs)
                newest = push.push()
                found["seconds_forward"] = _seen(airflow, newest)
                started += _while_away(airflow, push)
                found["at_once"] = push.push_two_at_once()
                found["seconds_after_two"] = _seen(airflow, push.current())
            found["parsed"] = sorted(parsed)
            found["lost"] = _lose(airflow, push)
            found["runs"] = [end_of(airflow, CHAIN, run) for run in started]
            found["cleaned"] = _clean(push, first)
            began = time.monotonic()
            if make_dags(["--env=local", f"--version={first[:12]}"]):
                raise CommandError("the first version did not come back")
            found["seconds_back"] = {"command": time.monotonic() - began, "parsed": _seen(airflow, first)}
            found["described"] = airflow.description(CHAIN)
            airflow.store("variables", [{"key": RELEASE, "value": "1"}])
            found["held"] = end_of(airflow, HOLDING, held)
            found["first"], found["numbers"] = first, push.numbers
            refused = stack.refusals.seen()
            found["refused"] = [each for each in refused if DENIED not in each]
            found["refused_while_away"] = len(refused) - len(found["refused"])
    results.write_text(json.dumps(found, indent=2))


def _load(airflow: Airflow, push: Pushes, *, pushes: int, runs: int) -> list[str]:
    """Push, and start the runs evenly between the pushes; return the ids of the runs."""
    started: list[str] = []
    for number in range(1, pushes + 1):
        began = time.monotonic()
        started += [airflow.start_run(CHAIN, {}) for _ in range(number * runs // pushes - len(started))]
        time.sleep(max(0.0, PUSH_EVERY_S - (time.monotonic() - began)))
        push.push()
    return started


def _seconds_until_known(stack: Stack, airflow: Airflow, older: str) -> dict[str, Any]:
    """Wait until each place names the running task of an older version; return the seconds and what they say."""
    began = time.monotonic()
    said, page = "", ""

    def is_named() -> bool:
        nonlocal said, page
        said = said_by(make_versions, ["--env=local"])
        page = json.dumps(airflow.call("GET", "/fleet/api/fleet")["bundles"])
        return all(HOLDING in each and older[:12] in each for each in (said, page))

    wait_until(is_named, what="naming of a task on an older version", timeout_s=KNOWN_TIMEOUT_S, every_s=1)
    seconds = time.monotonic() - began
    waits = said_by(make_versions, ["--env=local", f"--bundle={BUNDLE}", f"--version={_parsed(airflow)[:12]}"])
    return {"seconds": seconds, "versions": said, "page": page, "gate": waits}


def _while_away(airflow: Airflow, push: Pushes) -> list[str]:
    """Take the bucket away from all roles while runs begin of a version that no worker has; return their ids."""
    with push.refused_to_all():
        started = [airflow.start_run(CHAIN, {}) for _ in range(RUNS_WHILE_AWAY)]
        time.sleep(AWAY_S)
    return started


def _lose(airflow: Airflow, push: Pushes) -> dict[str, Any]:
    """Remove a version that a waiting run needs, as no one should; return how the run ends."""
    version = push.push()
    _seen(airflow, version, dag=LOST)
    run = airflow.start_run(LOST, {})  # it waits, because the DAG is paused
    push.push()
    wait_until(lambda: version in _in_use(), what="a report on the waiting run", timeout_s=KNOWN_TIMEOUT_S)
    before = push.stored()
    push.remove_old(keep=1)
    removed, is_spared = len(before - push.stored()), version in push.stored()
    push.lose(version)
    airflow.unpause(LOST)
    return {"removed": removed, "is_spared": is_spared, "expected": version, **end_of(airflow, LOST, run)}


def _clean(push: Pushes, held: str) -> dict[str, Any]:
    """Remove old versions; return how many were there before and after."""
    wait_until(lambda: _in_use() <= {held}, what="a report that all other runs have ended", timeout_s=KNOWN_TIMEOUT_S)
    before = push.stored()
    push.remove_old(keep=KEPT)
    after = push.stored()
    return {"before": len(before), "after": len(after), "has_held": held in after}


def _in_use() -> set[str]:
    """Return the versions that unfinished runs use, as the version check has it."""
    bundles = ask_version_check(find_stack("local"))["bundles"] or []
    return {each["version"] for bundle in bundles for each in bundle["in_use"]}


@contextlib.contextmanager
def parsed_versions(airflow: Airflow) -> Iterator[set[str]]:
    """Note what the DAG processor has read of the DAG file and of the module beside it, until the block ends."""
    found: set[str] = set()
    ended = threading.Event()

    def note() -> None:
        while not ended.wait(0.25):
            found.add(airflow.description(CHAIN) or "")

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _seen(airflow: Airflow, version: str, *, dag: str = CHAIN) -> float:
    """Wait until Airflow has parsed the DAG at this version; return the seconds."""
    began = time.monotonic()
    what = f"parsing of version {version}"
    wait_until(lambda: _parsed(airflow, dag) == version, what=what, timeout_s=PARSE_TIMEOUT_S)
    return time.monotonic() - began


def _parsed(airflow: Airflow, dag: str = CHAIN) -> str:
    return str(airflow.dag(dag)["bundle_version"])


def _is_running(airflow: Airflow, run: str) -> bool:
    return any(each["state"] == "running" for each in airflow.task_instances(HOLDING, run))


def end_of(airflow: Airflow, dag: str, run: str) -> dict[str, Any]:
    """Wait for the end of a run; return its version and what each of its tasks has logged."""
    wait_until(lambda: airflow.run_state(dag, run) in ENDED, what=f"end of {run}", timeout_s=RUN_TIMEOUT_S)
    record = airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")
    return {
        "version": record["bundle_version"],
        "state": record["state"],
        "tasks": [_task(airflow, instance) for instance in airflow.task_instances(dag, run)],
    }


def _task(airflow: Airflow, instance: dict[str, Any]) -> dict[str, Any]:
    log = airflow.log(instance)
    return {
        "state": instance["state"],
        "tries": instance["try_number"],
        "logged": CODE.findall(log),
        "said": SAID.findall(log),
        "log": "" if instance["state"] == "success" else log,
    }


if __name__ == "__main__":
    perform(partial(main, pushes=int(sys.argv[2]), runs=int(sys.argv[3])))
