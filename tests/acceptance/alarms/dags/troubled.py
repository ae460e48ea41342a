"""DAGs that fail, that stop succeeding until a variable says so, and that fill the triggerer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, Variable, dag, task


class Waiting(BaseOperator):
    """Takes a place of the triggerer for a while."""

    def execute(self, context: Any) -> None:
        wait = timedelta(seconds=context["dag_run"].conf["seconds"])
        self.defer(trigger=TimeDeltaTrigger(wait), method_name="resume")

    def resume(self, context: Any, event: Any = None) -> None:
        """Do nothing more."""


@dag(schedule=None, catchup=False)
def failing() -> None:
    @task
    def fail() -> None:
        raise ValueError("no data")

    fail()


@dag(schedule=timedelta(seconds=20), start_date=datetime(2026, 1, 1), catchup=False, tags=["expect:2"])
def stumbling() -> None:
    @task
    def stumble() -> None:
        if Variable.get("broken", default="yes") == "yes":
            raise ValueError("the source is away")

    stumble()


@dag(schedule=None, catchup=False)
def waiting() -> None:
    for number in range(2):
        Waiting(task_id=f"wait{number}")


failing()
stumbling()
waiting()
