"""A DAG of a test: one task that waits in the triggerer, which uploads a log of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag


class Wait(BaseOperator):
    """Waits for a moment."""

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="end")

    def end(self, context: Any, event: Any) -> None:  # noqa: ARG002 - Airflow's signature
        """Go on after the wait."""
        self.log.info("back from the triggerer")


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def deferring() -> None:
    """Run it."""
    Wait(task_id="wait", queue="default")


deferring()
