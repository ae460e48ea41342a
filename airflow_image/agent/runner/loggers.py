"""Lets a task's process set up its logs without touching the loggers of all libraries, of which there are hundreds.

Python's `dictConfig` resets each of them. The runner has done so with the same settings before the fork, and a page
with a logger that a fork writes to is copied.
"""

from __future__ import annotations

import logging
from typing import Any

# Those that Airflow configures by name. Airflow has made all of them before the fork.
CONFIGURED = ("airflow", "alembic.runtime.plugins", "httpx", "sqlalchemy.engine")


def install() -> None:
    """Show Airflow only these loggers while a task's process sets up its logs.

    Raises AttributeError if Airflow sets them up in another way than this module was written for.
    """
    from airflow.sdk.execution_time import supervisor

    configure = supervisor._configure_logs_over_json_channel
    manager = logging.root.manager

    def configure_few(*arguments: Any) -> None:
        every = manager.loggerDict
        few = {name: every[name] for name in CONFIGURED if isinstance(every.get(name), logging.Logger)}
        if len(few) < len(CONFIGURED):
            configure(*arguments)
            return
        manager.loggerDict = few
        try:
            configure(*arguments)
        finally:
            for name, logger in few.items():
                every.setdefault(name, logger)
            manager.loggerDict = every

    supervisor._configure_logs_over_json_channel = configure_few
