"""The signs of life that a container leaves for its health check: files that are touched again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from agent import variables

ROUND = "fleet-pulse"  # a worker's agent has gone a round
LOOK = "fleet-forecast"  # the forecaster has looked at the schedule
WAITING = "fleet-waits"  # the program has not been started: it is not its turn yet


def beat(given: Mapping[str, str], sign: str) -> None:
    """Called again and again by who leaves the sign. Raises OSError."""
    _path(given, sign).touch()


def end(given: Mapping[str, str], sign: str) -> None:
    """The sign is not left any more. Raises OSError."""
    _path(given, sign).unlink(missing_ok=True)


def age_s(given: Mapping[str, str], sign: str) -> float | None:
    """Seconds since the sign was left last; None if it was not."""
    try:
        return max(0.0, time.time() - _path(given, sign).stat().st_mtime)
    except FileNotFoundError:
        return None


def _path(given: Mapping[str, str], sign: str) -> Path:
    return Path(given.get(variables.AIRFLOW_HOME) or Path.home() / "airflow") / sign
