"""A container's heartbeats for its health check: files that it touches repeatedly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from agent import variables

AGENT = "fleet-pulse"  # a tick of a worker's agent has ended
RUNNER = "fleet-runner"  # a tick of the runner has begun; the worker reads it
FORECASTER = "fleet-forecast"  # a tick of the forecaster has ended
EVENTS = "fleet-events"  # changes were sent, or a tick has ended
WAITING = "fleet-waits"  # the container waits for its turn; its program has not started


def beat(given: Mapping[str, str], name: str) -> None:
    """Touch the file of `name`. Raises OSError."""
    _path(given, name).touch()


def end(given: Mapping[str, str], name: str) -> None:
    """Remove the file of `name`. Raises OSError."""
    _path(given, name).unlink(missing_ok=True)


def age_s(given: Mapping[str, str], name: str) -> float | None:
    """Return the seconds since the last heartbeat of `name`; None without one."""
    try:
        return max(0.0, time.time() - _path(given, name).stat().st_mtime)
    except FileNotFoundError:
        return None


def _path(given: Mapping[str, str], name: str) -> Path:
    if name == RUNNER:
        return Path(given[variables.SHARED_FOLDER]) / name
    return Path(given.get(variables.AIRFLOW_HOME) or Path.home() / "airflow") / name
