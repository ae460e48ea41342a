"""DAGs of a test: tasks that fail, hold, wait and die in the ways that a story is told of."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, task

HOLD_S = 900  # longer than the test
STEP_BYTES = 64 * 1024 * 1024
CROWD = 6
OPTIONS: dict[str, Any] = {"schedule": None, "catchup": False, "is_paused_upon_creation": True}


def hold() -> None:
    """Keep a slot until the end."""
    time.sleep(HOLD_S)


class Defer(BaseOperator):
    """Waits in the triggerer until the end."""

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=HOLD_S)), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any) -> None:
        """Do nothing."""


@dag(**OPTIONS)
def failing() -> None:
    """Fail at once: for good, with a retry far away, and one of the instances of a mapped task."""

    @task(retries=0)
    def fail() -> None:
        raise ValueError("of its own")

    @task(retries=1, retry_delay=timedelta(hours=1))
    def try_again() -> None:
        raise ValueError("of its own")

    @task(retries=0)
    def divide(number: int) -> float:
        return 1 / number

    fail()
    try_again()
    divide.expand(number=[1, 0])


@dag(**OPTIONS)
def hungry() -> None:
    """Take more memory than a worker has."""

    @task(retries=0)
    def eat() -> None:
        held = []
        while True:
            held.append(b"x" * STEP_BYTES)
            time.sleep(0.05)

    eat()


@dag(**OPTIONS)
def deferring() -> None:
    """Wait in the triggerer."""
    Defer(task_id="wait")


@dag(**OPTIONS)
def chain() -> None:
    """Let one task wait for another."""
    task(task_id="first", retries=0)(hold)() >> task(task_id="second", retries=0)(hold)()


@dag(max_active_tasks=1, **OPTIONS)
def limited() -> None:
    """Let one task run at a time."""
    task(task_id="one", retries=0, priority_weight=2)(hold)()
    task(task_id="other", retries=0)(hold)()


@dag(**OPTIONS)
def pooled() -> None:
    """Let two tasks want the only slot of a pool."""
    task(task_id="one", retries=0, pool="narrow", priority_weight=2)(hold)()
    task(task_id="other", retries=0, pool="narrow")(hold)()


@dag(**OPTIONS)
def paused() -> None:
    """Never run, because no one unpauses it."""
    task(task_id="never", retries=0)(hold)()


@dag(**OPTIONS)
def crowd() -> None:
    """Want more slots than a worker has."""
    for number in range(CROWD):
        task(task_id=f"member{number}", retries=0)(hold)()


failing()
hungry()
deferring()
chain()
limited()
pooled()
paused()
crowd()
