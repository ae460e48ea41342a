"""Celery's settings that let a role outlast an outage of the database or the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from roles.errors import ConfigurationError

# Celery writes a task's state to Redis after the task has run. By default it makes one attempt: a task that has ended
# would occupy one of the scheduler's slots until the executor reconciles. The pauses grow to 10 s at most, and
# are random below that: Redis may be away for some four minutes.
WITH_RESULTS: Mapping[str, Any] = {
    "result_backend_always_retry": True,
    "result_backend_max_retries": 60,
    "result_serializer": "json",
    "result_accept_content": ["json"],
}
# Airflow fails a task whose message the broker does not accept, unless sending it takes longer than Airflow's
# operation_timeout (1 s): then the next loop sends it again. Celery's own attempts end after 0.6 s; these never end.
WITH_THE_BROKER: Mapping[str, Any] = {
    "task_publish_retry_policy": {
        "max_retries": None,
        "interval_start": 0.2,
        "interval_step": 0.2,
        "interval_max": 1.0,
    },
}
# Airflow's attempts for one message. Each takes a second or more, so the broker may be away for two minutes or more.
PUBLISH_ATTEMPTS = 120


def celery_config(own: str | None, patience: Mapping[str, Any], *, modules: Sequence[str] = ()) -> str:
    """Return the operator's extra Celery configuration (JSON or nothing) with `patience`, and `modules` to import.

    The operator's settings override those of `patience`.
    """
    try:
        config = json.loads(own or "{}")
    except ValueError:
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("imports", []), list):
        raise ConfigurationError("AIRFLOW__CELERY__EXTRA_CELERY_CONFIG must be a JSON object, and its imports a list")
    if imports := [*modules, *config.get("imports", [])]:
        config["imports"] = imports
    return json.dumps({**patience, **config})
