"""A task's process, and what its zygote does for all of them before: logging and the closed database are alike in each.

Python writes to a page whenever it uses an object on it, and each task would copy the same pages.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent import variables
from agent.runner import running
from agent.runner.channels import Channels


class AirflowTask:
    """Runs Airflow's tasks. `folder`: that worker and runner share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = -1  # the descriptor to which the logs go

    def prepare(self) -> None:
        """Set up in the zygote what is alike in all tasks. The logs go nowhere until a task has its own connection.

        Raises AttributeError if Airflow's task is another one than this module was written for.
        """
        from airflow.sdk.execution_time import supervisor

        self._logs = os.open(os.devnull, os.O_WRONLY)
        supervisor._configure_logs_over_json_channel(self._logs)
        supervisor.block_orm_access()
        supervisor._configure_logs_over_json_channel = _is_done
        supervisor.block_orm_access = _is_done

    def run(self, channels: Channels, dags_hash: str) -> None:
        """Be a task's process: wait for the supervisor's first message, and run the task."""
        from airflow.sdk.execution_time import supervisor

        os.environ[variables.DAGS_HASH] = dags_hash
        running.note(self._folder)
        os.dup2(channels.logs.fileno(), self._logs, inheritable=False)
        channels.logs.close()
        supervisor._fork_main(
            channels.requests, channels.stdout, channels.stderr, self._logs, supervisor._subprocess_main
        )


def _is_done(*_: int) -> None:
    """Do nothing: the zygote has done it."""
