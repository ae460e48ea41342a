"""Reads the logs of tasks that run, over REST and in the UI, on a local stack; writes when their lines were seen.

Usage: python -m tests.acceptance.live_logs.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

from agent.variables import TASK_ARN
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from local.ui.chromium import find_chromium
from project.waiting import wait_until
from stack.sections.workers import LOG_SERVER_PORT
from tests.support.processes import is_alive
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
TALKING, DEFERRED = "talking", "deferred"
TASKS = 8
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, READ_TIMEOUT_S = 120, 240, 60
SPOKEN = re.compile(r"\b(\S+) at (\d+\.\d\d) s\b")
CHECK_EVERY_S = 0.5


def main(results: Path) -> None:
    """Bring the stack up with a worker for each task, read, kill a worker, write the results."""
    sizes = {"WorkerMin": str(TASKS), "WorkerMax": str(TASKS), "WorkerConcurrency": "1"}
    with up(say, warn=say, source=image_with(DAGS, "live-logs-image"), overrides=sizes) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            for dag in (TALKING, DEFERRED):
                airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
            wait_until(lambda: _consuming(stack) == TASKS, what=f"{TASKS} workers", timeout_s=RUN_TIMEOUT_S)
            found = {**_over_rest(airflow), "ui_s": _in_ui(stack, airflow), **_deferred(stack, airflow)}
    results.write_text(json.dumps(found, indent=2))


def _over_rest(airflow: Airflow) -> dict[str, Any]:
    """Read the logs of tasks that run at once. Returns by task: seconds until its first line was seen, and its host."""
    say("tasks talk on all workers")
    run = airflow.trigger(TALKING, {"tasks": TASKS, "silent_s": 15, "seconds": 30})
    wait_until(
        lambda: len(_running(airflow, TALKING, run, "talk")) == TASKS, what="tasks that run", timeout_s=RUN_TIMEOUT_S
    )
    running = _running(airflow, TALKING, run, "talk")
    # A reader for each task, as many people with a browser: one after the other, the last would wait for all.
    with ThreadPoolExecutor(TASKS) as readers:
        seen = dict(
            zip(_numbers(running), readers.map(lambda each: _first_line_s(airflow, each), running), strict=True)
        )
    still = _numbers(_running(airflow, TALKING, run, "talk"))
    say(f"first lines were seen after {sorted(seen.values())} s")
    wait_until(lambda: airflow.run_state(TALKING, run) == "success", what=f"run of {TALKING}", timeout_s=RUN_TIMEOUT_S)
    ended = [airflow.log(instance) for instance in airflow.task_instances(TALKING, run, task_id="talk")]
    return {
        "rest_s": seen,
        "hosts": [each["hostname"] for each in running],
        "still_running": still,
        "after_the_end": ["FIRST" in log for log in ended],
    }


def _numbers(instances: list[dict[str, Any]]) -> list[str]:
    return sorted(str(each["map_index"]) for each in instances)


def _first_line_s(airflow: Airflow, instance: dict[str, Any]) -> float:
    """Return the seconds between the first line of a task and the answer that has it."""
    deadline = time.monotonic() + READ_TIMEOUT_S
    while time.monotonic() < deadline:
        for _, at in SPOKEN.findall(airflow.log(instance)):
            return round(time.time() - float(at), 2)
        time.sleep(CHECK_EVERY_S)
    return math.inf


def _in_ui(stack: Stack, airflow: Airflow) -> float | None:
    """Return after how many seconds the first line of a running task was seen in a browser; None without a browser."""
    path = find_chromium()
    if path is None:
        return None
    say("a browser shows a running task's log")
    run = airflow.trigger(TALKING, {"tasks": 1, "silent_s": 25, "seconds": 30})
    wait_until(lambda: bool(_running(airflow, TALKING, run, "talk")), what="a task that runs", timeout_s=RUN_TIMEOUT_S)
    with _browser(path, stack, airflow) as page:
        page.goto(f"{stack.webserver_url}/dags/{TALKING}/runs/{run}/tasks/talk/mapped/0?try_number=1")
        line = page.get_by_text("FIRST-0 at").first
        line.wait_for(timeout=READ_TIMEOUT_S * 1000)
        seen_at = time.time()
        ((_, at),) = SPOKEN.findall(line.inner_text())
    assert _running(airflow, TALKING, run, "talk"), "the task ended before its line was seen"
    return round(seen_at - float(at), 2)


@contextlib.contextmanager
def _browser(path: str, stack: Stack, airflow: Airflow) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            context = browser.new_context()
            context.add_cookies([{"name": "_token", "value": airflow.token, "url": stack.webserver_url}])
            yield context.new_page()
        finally:
            browser.close()


def _deferred(stack: Stack, airflow: Airflow) -> dict[str, str]:
    """Return what the log of a task shows: while it is deferred, while it runs again, and when its worker is gone."""
    say("a task defers, and its worker is killed when it has resumed")
    run = airflow.trigger(DEFERRED, {"deferred_s": 20, "seconds": 300})
    shown = {}
    shown["while_deferred"] = _log_with(airflow, run, "deferred", "trigger")
    shown["resumed"] = _log_with(airflow, run, "running", "AFTER at")
    (instance,) = _running(airflow, DEFERRED, run, "wait")
    _kill_worker(stack, instance["hostname"])
    began = time.monotonic()
    shown["worker_gone"] = airflow.log(instance)
    shown["worker_gone_after_s"] = str(round(time.monotonic() - began, 1))
    return shown


def _log_with(airflow: Airflow, run: str, state: str, text: str) -> str:
    """Return the task's log as soon as it has the text while the task is in this state."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    log = ""
    while time.monotonic() < deadline:
        (instance,) = airflow.task_instances(DEFERRED, run, task_id="wait")
        if instance["state"] == state:
            log = airflow.log(instance)
            if text in log:
                return log
        time.sleep(CHECK_EVERY_S)
    return log


def _kill_worker(stack: Stack, address: str) -> None:
    """Kill the ECS task that has this address, with its containers."""
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid]
    (pid,) = {int(c.pid or 0) for c in listening if c.laddr == (address, LOG_SERVER_PORT)}
    server = psutil.Process(pid)
    stack.agent.kill(server.environ()[TASK_ARN])
    wait_until(lambda: not is_alive(server), what="end of the worker", timeout_s=READ_TIMEOUT_S)


def _running(airflow: Airflow, dag: str, run: str, task: str) -> list[dict[str, Any]]:
    return [each for each in airflow.task_instances(dag, run, task_id=task) if each["state"] == "running"]


def _consuming(stack: Stack) -> int:
    members = stack.registry.members().members
    return sum(member.role == "worker" and member.state == "consuming" for member in members)


if __name__ == "__main__":
    perform(main)
