"""Waits for what another process does."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    """Whether `holds` becomes true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def stays(holds: Callable[[], bool], *, for_s: float) -> bool:
    """Whether `holds` is true all the time."""
    return not eventually(lambda: not holds(), within_s=for_s)
