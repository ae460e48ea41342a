"""Measures processor time, which depends less on other work of the machine than elapsed time."""

from __future__ import annotations

import time
from collections.abc import Callable

REPEATS = 3


def cpu_s(work: Callable[[], object]) -> float:
    """Return the lowest processor time of REPEATS runs, in seconds: other work on the machine only adds to it."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)
