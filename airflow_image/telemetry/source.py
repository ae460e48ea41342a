"""Who sends, and how long a process waits at its end: for metrics and traces alike."""

from __future__ import annotations

import os
from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource

from telemetry.settings import RESOURCE, ROLE, TASK_ARN

# At its end a process sends once more, and does not wait for longer.
LAST_EXPORT_S = 2.0


def resource(environment: Mapping[str, str]) -> Resource:
    """Return who sends. Each point is charged with it, so it has no versions of libraries."""
    pairs = (pair.partition("=") for pair in environment.get(RESOURCE, "").split(",") if pair)
    task = environment.get(TASK_ARN, "").rpartition("/")[2]
    return Resource(
        {
            **{name: value for name, _, value in pairs},
            "service.name": environment.get(ROLE, "airflow"),
            "service.instance.id": f"{task[:8]}-{os.getpid()}",
        }
    )
