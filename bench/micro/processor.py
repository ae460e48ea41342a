"""Measures processor time, which says more than the clock on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable

REPEATS = 3


def cpu_s(work: Callable[[], object]) -> float:
    """The least processor time of a few runs, in seconds: what else happens only adds to it."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)
