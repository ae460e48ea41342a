"""The worker's Celery application, which runs Airflow's workloads without importing Airflow.

Airflow is imported by the runner, to which each workload goes; a second import would double the processor time of a
worker's start. The settings are those that Airflow's Celery provider makes of the same variables, and a test compares
them. Other variables `AIRFLOW__CELERY__*` than those that the entrypoint sets are not read: use
AIRFLOW__CELERY__EXTRA_CELERY_CONFIG.

`celery -A agent.celery_app inspect fleet_version` asks every worker which code it runs.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from typing import Any

from celery import Celery

import agent.worker  # noqa: F401 - the command line knows only commands that are registered in its own process
from agent import handover, variables

TASK = "execute_workload"  # as Airflow's executor names it
DEFAULT_QUEUE = "default"


def celery_settings(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings for the variables that the entrypoint gives a worker. Raises KeyError without a broker."""
    broker_url = given[variables.BROKER_URL]
    settings = {
        "accept_content": ["json"],
        "event_serializer": "json",
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_exchange": DEFAULT_QUEUE,
        "task_track_started": False,
        "broker_url": broker_url,
        "broker_transport_options": _transport_options(given),
        "broker_connection_retry_on_startup": True,
        "result_backend": given.get(variables.RESULTS_URL),
        "worker_enable_remote_control": True,
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        **json.loads(given.get(variables.EXTRA_CELERY_CONFIG) or "{}"),
    }
    if broker_url.startswith("rediss:"):
        settings["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return settings


def _transport_options(given: Mapping[str, str]) -> dict[str, str | int]:
    prefix = variables.TRANSPORT_OPTIONS
    named = {name.removeprefix(prefix).lower(): value for name, value in given.items() if name.startswith(prefix)}
    return {name: int(value) if value.isdecimal() else value for name, value in named.items()}


app = Celery("fleet", config_source=celery_settings(os.environ))


@app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery is not typed
def execute_workload(workload: str) -> None:
    """Run the workload, Airflow's JSON, to its end."""
    handover.run_workload(workload)
