"""A file of many tasks: each task's process makes all of them before it runs one."""

import os
from datetime import timedelta

from airflow.sdk import dag, task


@dag(
    schedule=None,
    max_active_tasks=1000,
    is_paused_upon_creation=False,
    default_args={"retries": 3, "retry_delay": timedelta(0)},
)
def many_tasks() -> None:
    for number in range(int(os.environ["BENCH_MANY_TASKS"])):

        @task(task_id=f"task_{number}")
        def nothing() -> None:
            pass

        nothing()


many_tasks()
