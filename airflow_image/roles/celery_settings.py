"""Celery's settings that let a role outlast an outage of the database or the broker."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from agent.connections import SOCKET_TIMEOUT_S
from roles.errors import ConfigurationError

RESULTS_MEAN_PAUSE_S = 5.0
# By default a read waits for two minutes, and a connection for the kernel's patience.
RESULTS_SOCKETS: Mapping[str, Any] = {
    "redis_socket_timeout": SOCKET_TIMEOUT_S,
    "redis_socket_connect_timeout": SOCKET_TIMEOUT_S,
    "redis_socket_keepalive": True,
}
WORKER: Mapping[str, Any] = {
    **RESULTS_SOCKETS,
    "worker_consumer": "agent.consumer:PatientConsumer",
    # The worker counts what it holds itself: Celery would take one message beyond its slots.
    "worker_enable_prefetch_count_reduction": False,
    "result_backend_always_retry": True,
    "result_serializer": "json",
    "result_accept_content": ["json"],
    # By default Celery connects again after connection errors only, and ends when Redis refuses a command.
    "broker_channel_error_retry": True,
}
# Celery's own attempts end after 0.6 s; these end with Airflow's operation_timeout (1 s). The executor sends again.
SCHEDULER: Mapping[str, Any] = {
    **RESULTS_SOCKETS,
    "task_publish_retry_policy": {
        "max_retries": None,
        "interval_start": 0.2,
        "interval_step": 0.2,
        "interval_max": 1.0,
    },
}


def worker_settings(patience_s: float) -> Mapping[str, Any]:
    """Return WORKER and the number of attempts to store a result.

    Celery stores a task's state after the task has run. By default it makes one attempt: a task that has ended would
    occupy one of the scheduler's slots until the executor reconciles. The pauses between attempts grow to 10 s at
    most, and are random below that.
    """
    return {**WORKER, "result_backend_max_retries": math.ceil(patience_s / RESULTS_MEAN_PAUSE_S)}


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
