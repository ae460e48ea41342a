"""Wait for a condition, with a limit and a name for the error."""

from __future__ import annotations

import time
from collections.abc import Callable

from project import paths
from project.errors import CommandError


def wait_until(ready: Callable[[], bool], *, what: str, timeout_s: float, every_s: float = 0.25) -> None:
    """Wait until `ready()`. CommandError names what did not happen in time."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise CommandError(f"{what} did not happen within {timeout_s:.0f} s; see {paths.LOGS}")
        time.sleep(every_s)
