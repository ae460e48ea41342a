"""Brings tasks into situations on a real stack, asks the webserver why, and writes its answers.

Usage: python -m tests.acceptance.why.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from fleet.member import Member, task_of
from fleet.registry import ORDER_DRAIN
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project.errors import CommandError
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
NAMES = ("failing", "hungry", "deferring", "chain", "limited", "pooled", "paused", "crowd")
PARSE_TIMEOUT_S = 120
TOLD_WITHIN_S = 150  # workers boot, and processes die, meanwhile
ASK_EVERY_S = 0.5
SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",  # as short as a busy machine allows
    "FLEET_STOP_GRACE_S": "4",
}


class Stories:
    """Asks for stories as a user, and keeps each answer under the name of its situation."""

    def __init__(self, stack: Stack, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=stack.webserver_url, headers=headers, timeout=30, trust_env=False)
        self.found: dict[str, Any] = {}

    def ask(self, run: tuple[str, str], task: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return the present story of a run's task."""
        path = f"/fleet/api/why/{run[0]}/{quote(run[1], safe='')}/{task}"
        answer = self.http.get(path, params={"map_index": map_index})
        if answer.is_error:
            raise CommandError(f"no story of {task}: HTTP {answer.status_code} {answer.text[:200]}")
        return dict(answer.json())

    def await_cause(self, run: tuple[str, str], task: str, cause: str) -> None:
        """Keep the first story with this cause; after TOLD_WITHIN_S the last one, whatever it is."""
        deadline = time.monotonic() + TOLD_WITHIN_S
        told = self.ask(run, task)
        while told["cause"] != cause and time.monotonic() < deadline:
            time.sleep(ASK_EVERY_S)
            told = self.ask(run, task)
        say(f"{run[0]}.{task}: {told['text']}")
        self.found[cause] = told


def main(results: Path) -> None:
    """Bring the stack up, bring about the situations, write what is told of each."""
    with up(say, warn=say, source=image_with(DAGS, "why-image"), settings=SETTINGS) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        stories = Stories(stack, airflow.token)
        with contextlib.closing(airflow), contextlib.closing(stories.http):
            for name in NAMES:
                airflow.wait_for_dag(name, timeout_s=PARSE_TIMEOUT_S)
            _wait(stack, airflow, stories)
            _die(stack, airflow, stories)
    results.write_text(json.dumps(stories.found, indent=2))


def _wait(stack: Stack, airflow: Airflow, stories: Stories) -> None:
    """Let tasks wait for all that they can wait for."""
    stories.http.post("/api/v2/pools", json={"name": "narrow", "slots": 1}).raise_for_status()
    failing = _run(airflow, "failing")
    stories.await_cause(failing, "fail", "own")
    stories.await_cause(failing, "try_again", "retry")
    stories.found["mapped"] = _ended(stories, failing, "divide", map_index=1)
    stories.found["mapped beside"] = _ended(stories, failing, "divide", map_index=0)
    stories.await_cause(_run(airflow, "hungry"), "eat", "memory")
    stories.await_cause(("paused", airflow.start_run("paused", {})), "never", "paused")
    stories.await_cause(_run(airflow, "deferring"), "wait", "deferred")
    limited, pooled = _run(airflow, "limited"), _run(airflow, "pooled")
    stories.await_cause(limited, "one", "running")
    stories.await_cause(limited, "other", "dag_limit")
    stories.await_cause(pooled, "other", "pool_full")
    path = f"/api/v2/dags/{limited[0]}/dagRuns/{quote(limited[1], safe='')}/taskInstances/one"
    stories.http.patch(path, json={"new_state": "failed"}).raise_for_status()
    stories.await_cause(limited, "one", "by_hand")
    crowd = _run(airflow, "crowd")
    last = max(airflow.task_instances(*crowd), key=lambda each: str(each["task_id"]))
    stories.await_cause(crowd, last["task_id"], "booting")
    stories.await_cause(crowd, last["task_id"], "running")


def _die(stack: Stack, airflow: Airflow, stories: Stories) -> None:
    """Let a worker drain and be stopped while it runs a task, and another one vanish."""
    chain = _run(airflow, "chain")
    stories.await_cause(chain, "first", "running")
    stories.await_cause(chain, "second", "upstream")
    drained = _worker_of(stack, airflow, chain, "first")
    stack.registry.give_orders({drained.id: ORDER_DRAIN})
    stories.await_cause(chain, "first", "draining_worker")
    ecs, cluster = stack.clients.ecs, stack.outputs["ClusterName"]
    ecs.stop_task(cluster=cluster, task=drained.task_arn, reason="a test")
    stories.await_cause(chain, "first", "stop_deadline")
    stories.await_cause(chain, "second", "upstream_failed")
    again = _run(airflow, "chain")
    stories.await_cause(again, "first", "running")
    lost = _worker_of(stack, airflow, again, "first")
    stack.agent.kill(lost.task_arn)
    stories.await_cause(again, "first", "worker_lost")
    stories.found["lost"] = task_of(lost.id)


def _ended(stories: Stories, run: tuple[str, str], task: str, *, map_index: int) -> dict[str, Any]:
    """Return the story of an instance of a mapped task once it has ended, or after TOLD_WITHIN_S."""
    deadline = time.monotonic() + TOLD_WITHIN_S
    told: dict[str, Any] = {"state": None}
    while told["state"] not in ("failed", "success") and time.monotonic() < deadline:
        time.sleep(ASK_EVERY_S)
        with contextlib.suppress(CommandError):  # it does not exist before the scheduler has expanded the task
            told = stories.ask(run, task, map_index=map_index)
    return told


def _run(airflow: Airflow, dag: str) -> tuple[str, str]:
    say(f"a run of {dag}")
    return dag, airflow.trigger(dag, {})


def _worker_of(stack: Stack, airflow: Airflow, run: tuple[str, str], task: str) -> Member:
    """Return the worker that runs a task. Raises CommandError without one."""
    (instance,) = airflow.task_instances(*run, task_id=task)
    found = [worker for worker in stack.workers().members if worker.host == instance["hostname"]]
    if len(found) != 1:
        raise CommandError(f"{len(found)} workers have the address {instance['hostname']}")
    return found[0]


if __name__ == "__main__":
    perform(main)
