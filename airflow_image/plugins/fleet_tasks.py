"""Writes into every task's log which code the task runs with."""

from __future__ import annotations

import logging
import os

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from agent import variables

log = logging.getLogger("airflow.task")


class TaskCode:
    """A listener that Airflow calls in the task's own process."""

    @hookimpl  # type: ignore[untyped-decorator]
    def on_task_instance_running(self) -> None:
        """Log the code in one line that programs can parse."""
        versions = (os.environ.get(variables.DAGS_HASH, ""), os.environ.get(variables.IMAGE_VERSION, ""))
        log.info("dags_hash=%s image_version=%s", *versions)


class FleetTasks(AirflowPlugin):  # type: ignore[misc]  # Airflow is not type-checked here
    """The listener, only where tasks run."""

    name = "fleet_tasks"
    listeners = [TaskCode()] if os.environ.get(variables.ROLE) == variables.RUNNER else []
