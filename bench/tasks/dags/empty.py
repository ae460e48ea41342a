"""Tasks that do nothing, so that what is measured is Airflow's own part; and tasks that wait for a lock."""

import fcntl
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, get_current_context, task

COMMON: dict[str, Any] = {
    "schedule": None,
    "max_active_tasks": 1000,
    "is_paused_upon_creation": False,
    # On a machine that is busy with other work, a start can fail: the report counts these.
    "default_args": {"retries": 3, "retry_delay": timedelta(0)},
}


@dag(**COMMON)
def one() -> None:
    @task
    def nothing() -> None:
        pass

    nothing()


@dag(**COMMON)
def empty() -> None:
    @task
    def nothing(number: int) -> None:
        pass

    nothing.expand(number=list(range(int(os.environ["BENCH_EMPTY_TASKS"]))))


def held(slots: int) -> None:
    @dag(dag_id=f"held_{slots}", **COMMON)
    def hold() -> None:
        @task
        def wait(number: int) -> None:  # noqa: ARG001 - Airflow maps over it
            # The benchmark holds the lock, so that all tasks run at once, use no processor and end together.
            with Path(get_current_context()["dag_run"].conf["gate"]).open() as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)

        wait.expand(number=list(range(slots)))

    hold()


one()
empty()
for slots in map(int, os.environ["BENCH_SLOTS"].split(",")):
    held(slots)
