"""Computes from measured costs what so many running tasks need: processors, copies, connections to the database."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Interval = Callable[[float], float]

# A webserver is not planned to be busier than this: the policy of the service airflow adds a copy above it.
BUSY_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Need:
    """What running tasks ask of the webservers, and the copies of the service airflow that they need."""

    beats_per_s: float
    cores: float
    copies: int


def beats_of(task_s: float, interval_s: Interval) -> int:
    """Return the number of heartbeats of a task that runs for `task_s`."""
    beats, age_s = 0, interval_s(0.0)
    while age_s < task_s:
        beats += 1
        age_s += interval_s(age_s)
    return beats


def need(running: int, *, task_s: float, interval_s: Interval, beat_ms: float, cycle_ms: float, processes: int) -> Need:
    """Return what `running` tasks need whose lengths are `task_s`, where a copy has so many processes."""
    beats_per_s = running * beats_of(task_s, interval_s) / task_s
    cores = (beats_per_s * beat_ms + running / task_s * cycle_ms) / 1000
    return Need(beats_per_s=beats_per_s, cores=cores, copies=max(1, math.ceil(cores / (processes * BUSY_SHARE))))
