"""The sign of life that a worker's agent leaves for the container's health check."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from fleet import names

FILE = "fleet-pulse"


def beat() -> None:
    """Called after each round. Raises OSError."""
    _path(os.environ).touch()


def age_s(given: Mapping[str, str]) -> float | None:
    """Seconds since the last round; None if there was none."""
    try:
        return max(0.0, time.time() - _path(given).stat().st_mtime)
    except FileNotFoundError:
        return None


def _path(given: Mapping[str, str]) -> Path:
    return Path(given.get(names.AIRFLOW_HOME) or Path.home() / "airflow") / FILE
