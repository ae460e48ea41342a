"""Writes into every task's log which code the task runs with."""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from agent import variables

log = logging.getLogger("airflow.task")


class TaskCode:
    """A listener that Airflow calls in the task's own process."""

    @hookimpl  # type: ignore[untyped-decorator]
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Log the code in one line that programs can parse; of a bundle with versions also which one the task has."""
        versions = (os.environ.get(variables.DAGS_HASH, ""), os.environ.get(variables.IMAGE_VERSION, ""))
        log.info("dags_hash=%s image_version=%s%s", *versions, _bundle_version(task_instance))


def _bundle_version(task_instance: Any) -> str:
    """Return the words for the task's bundle; none for the image's folder, which dags_hash names."""
    bundle: Any = getattr(task_instance, "bundle_instance", None)
    if not getattr(bundle, "supports_versioning", False):
        return ""
    version = bundle.version or getattr(bundle.get_current_version(), "version", "")
    return f" bundle={bundle.name} bundle_version={version}"


class FleetTasks(AirflowPlugin):  # type: ignore[misc]  # Airflow is not type-checked here
    """The listener, only where tasks run."""

    name = "fleet_tasks"
    listeners = [TaskCode()] if os.environ.get(variables.ROLE) == variables.RUNNER else []
