"""Orders Airflow's versions."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version


def is_older(version: str, *, than: str) -> bool | None:
    """Return whether `version` is older than `than`; None when either is unknown."""
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return None
