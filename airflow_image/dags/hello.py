"""The smallest DAG: one task that says hello, to check that a deployment works."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None, catchup=False, tags=["example"])
def hello() -> None:
    """Run one task."""

    @task
    def say() -> str:
        print("hello from a worker", flush=True)  # noqa: T201 - goes to the task's log
        return "hello"

    say()


hello()
