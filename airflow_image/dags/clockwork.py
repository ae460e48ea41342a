"""Scheduled runs with many tasks at once, to show workers being launched before a run begins."""

from __future__ import annotations

import time

from airflow.sdk import dag, task
from pendulum import datetime

EVERY_MINUTES = 2
TASKS = 12
TASK_S = 10


@dag(
    schedule=f"*/{EVERY_MINUTES} * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=True,  # unpause it to try it
    max_active_runs=1,
    max_active_tasks=TASKS,
    tags=["example"],
)
def clockwork() -> None:
    """Run TASKS tasks of TASK_S seconds at once, every EVERY_MINUTES minutes."""

    @task(queue="default")
    def tick(number: int) -> int:
        print(f"clockwork task {number} works for {TASK_S} s", flush=True)  # noqa: T201 - goes to the task's log
        time.sleep(TASK_S)
        return number

    tick.expand(number=list(range(TASKS)))


clockwork()
