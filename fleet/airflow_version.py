"""Orders releases of Airflow. The Lambda package takes this file from the image."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version


def is_older(release: str, *, than: str) -> bool | None:
    """Whether `release` came before `than`; None when either is not known."""
    try:
        return Version(release) < Version(than)
    except InvalidVersion:
        return None
