"""Measures how long tasks waited, and how much work was lost."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

LONG_WAIT_S = 60.0
# The default of Airflow's scheduler.task_queued_timeout: a task that waits longer is queued again and finally fails.
TOO_LONG_S = 600.0


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed. `ordered` must not be empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Waits:
    """Collects each task's first wait and its delay (finish - arrival - duration), in seconds."""

    __slots__ = ("_delays", "_waits", "completed", "killed", "redone_s")

    def __init__(self, tasks: int) -> None:
        self._waits = array("d", [math.nan]) * tasks
        self._delays = array("d", [math.nan]) * tasks
        self.completed = self.killed = 0
        self.redone_s = 0.0

    def start(self, task: int, wait_s: float) -> None:
        self._waits[task] = wait_s

    def end(self, task: int, delay_s: float) -> None:
        self._delays[task] = delay_s
        self.completed += 1

    def kill(self, *, ran_s: float) -> None:
        self.killed += 1
        self.redone_s += ran_s

    def unfinished(self) -> list[int]:
        return [task for task, delay in enumerate(self._delays) if math.isnan(delay)]

    def cut_off(self, task: int, after_s: float) -> None:
        """Count an unfinished task at the end of the simulation."""
        self._delays[task] = after_s
        if math.isnan(self._waits[task]):
            self._waits[task] = after_s

    def figures(self) -> Figures:
        waits, delays = sorted(self._waits), sorted(self._delays)
        return Figures(
            wait_mean=sum(waits) / len(waits),
            wait_p50=quantile(waits, 0.50),
            wait_p95=quantile(waits, 0.95),
            wait_p99=quantile(waits, 0.99),
            long_waits=sum(wait > LONG_WAIT_S for wait in waits) / len(waits),
            too_long=sum(wait > TOO_LONG_S for wait in waits),
            delay_p95=quantile(delays, 0.95),
        )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Waits and delays in seconds. `long_waits` is a share of all tasks, `too_long` a number of tasks."""

    wait_mean: float
    wait_p50: float
    wait_p95: float
    wait_p99: float
    long_waits: float
    too_long: int
    delay_p95: float
