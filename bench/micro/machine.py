"""Measures what processes use, and what other programs take of the machine meanwhile."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

MIB = 1024 * 1024
# Of the machine, for other programs: above it a machine is not quiet, and elapsed times say little.
QUIET_SHARE = 0.15


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants, the oldest first."""
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def family_cpu_s(pid: int) -> float:
    """Return the processor time of a process and its descendants, also of those that ended and were waited for."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])  # its own in user and system mode, and those of its ended children
    return total


def family_pss_mib(pid: int) -> float | None:
    """Return the memory of a process and its descendants, each shared page divided among its users.

    None if this user may not read it: the runner hides its memory from all but root.
    """
    total = 0.0
    for each in family(pid):
        try:
            total += float(each.memory_full_info().pss)
        except psutil.AccessDenied:
            return None
        except psutil.NoSuchProcess:
            continue
    return total / MIB


class OtherLoad:
    """The share of the machine's processors that programs take which are no part of a measurement, since it began."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._own_s = time.monotonic(), _busy_s(), time.process_time()

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._began

    def share(self, measured_s: float) -> float:
        """Return the share; `measured_s`: the processor time of the measured processes since the beginning."""
        known = measured_s + time.process_time() - self._own_s
        return max(0.0, _busy_s() - self._busy_s - known) / (self.wall_s * (os.cpu_count() or 1))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
