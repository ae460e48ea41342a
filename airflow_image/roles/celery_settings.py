"""Celery's settings with which a role outlasts the time that a server is away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from roles.errors import ConfigurationError

# Celery writes a task's state to the database before the task runs and after it. By default it makes three attempts at
# once and gives up: the task is acknowledged, not run, and the next message follows it, so that a worker empties the
# queue in seconds; a task that has ended would occupy one of the scheduler's slots for ever. The pauses grow to 10 s at
# most and are random below that: the database may be away for some four minutes.
WITH_RESULTS: Mapping[str, Any] = {
    "result_backend_always_retry": True,
    "result_backend_max_retries": 60,
    # A process that starts meanwhile makes the tables later.
    "database_create_tables_at_setup": False,
}
# A message that the broker does not take is a failed task for Airflow, unless sending it takes longer than its
# operation_timeout (1 s): then the next loop sends it again. Celery's own attempts end after 0.6 s, these never do.
WITH_THE_BROKER: Mapping[str, Any] = {
    "task_publish_retry_policy": {
        "max_retries": None,
        "interval_start": 0.2,
        "interval_step": 0.2,
        "interval_max": 1.0,
    },
}
# Of one message, a second or more each: for two minutes and more the broker may be away.
PUBLISH_ATTEMPTS = 120


def celery_config(own: str | None, patience: Mapping[str, Any], *, modules: Sequence[str] = ()) -> str:
    """The operator's own extra Celery configuration (JSON or nothing), with `patience`, and `modules` to import.

    What the operator says of patience wins.
    """
    try:
        config = json.loads(own or "{}")
    except ValueError:
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("imports", []), list):
        raise ConfigurationError("AIRFLOW__CELERY__EXTRA_CELERY_CONFIG is not a JSON object whose imports are a list")
    if imports := [*modules, *config.get("imports", [])]:
        config["imports"] = imports
    return json.dumps({**patience, **config})
