"""Orders Airflow's versions."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version


def is_older(release: str, *, than: str) -> bool | None:
    """Return whether version `release` is older than `than`; None when either is unknown."""
    try:
        return Version(release) < Version(than)
    except InvalidVersion:
        return None
