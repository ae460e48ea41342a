"""Lets a worker answer Celery's `inspect` command `fleet_version`, which Celery's own tools send."""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command


@inspect_command()  # type: ignore[untyped-decorator]  # Celery is not typed
def fleet_version(state: Any) -> dict[str, str]:
    """What code the worker runs."""
    answer: dict[str, str] | None = state.consumer.fleet_agent.answer()
    return answer or {"error": "the worker has not looked at its code yet"}
