"""Compares how long a pool's tasks waited without a flood in another pool and beside it; pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# Beside the flood, the 95th percentile of a pool's waits may be this many times what it is without.
MOST_TIMES = 1.2
# But it may always be longer by this: two loops of the scheduler, which starts tasks in loops of up to a second.
NOISE_S = 2.0
PERCENTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A pool of at most one worker at `at`, in seconds since the epoch: its desired count, and whether it consumes."""

    at: float
    desired: int
    is_consuming: bool


@dataclass(frozen=True, kw_only=True)
class Boot:
    """From a worker's launch until it was first seen to consume; seconds since the epoch."""

    launched_at: float
    consumed_at: float


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Seconds for which a pool's tasks waited, `alone` and `beside` the flood."""

    pool: str
    alone: Sequence[float]
    beside: Sequence[float]

    @property
    def alone_s(self) -> float:
        """The 95th percentile without the flood."""
        return percentile(self.alone)

    @property
    def beside_s(self) -> float:
        """The 95th percentile beside the flood."""
        return percentile(self.beside)

    @property
    def limit_s(self) -> float:
        """What `beside_s` may be at most."""
        return max(MOST_TIMES * self.alone_s, self.alone_s + NOISE_S)

    @property
    def problems(self) -> list[str]:
        """What did not hold, one line each."""
        for when, waits in (("without the flood", self.alone), ("beside the flood", self.beside)):
            if not waits:
                return [f"no task of pool {self.pool} started {when}"]
        if self.beside_s <= self.limit_s:
            return []
        return [
            f"pool {self.pool}: 95 % of the tasks waited up to {self.beside_s:.1f} s beside the flood, "
            f"{self.alone_s:.1f} s without it; {self.limit_s:.1f} s is the limit"
        ]


def percentile(waits: Sequence[float]) -> float:
    """Return the least wait that PERCENTILE of the waits do not exceed (nearest rank). ValueError if there is none."""
    if not waits:
        raise ValueError("no waits")
    return sorted(waits)[math.ceil(PERCENTILE * len(waits)) - 1]


def waits_of(instances: Iterable[Mapping[str, Any]], boots: Sequence[Boot] = ()) -> list[float]:
    """Return the seconds from `scheduled` to `running` of the task instances, as Airflow's API describes them.

    The part of a wait in which a worker booted does not count. Tasks that never started are left out: the tally counts
    them as failed or lost.
    """
    waits = []
    for instance in instances:
        if instance["start_date"] is not None and instance["scheduled_when"] is not None:
            since, until = _epoch_s(instance["scheduled_when"]), _epoch_s(instance["start_date"])
            booting = sum(max(0.0, min(until, b.consumed_at) - max(since, b.launched_at)) for b in boots)
            waits.append(max(0.0, until - since - booting))
    return waits


def boots_of(readings: Sequence[Reading]) -> list[Boot]:
    """Return the boots that begin and end within readings, which are in the order in which they were taken."""
    boots = []
    launched_at: float | None = None
    for before, reading in itertools.pairwise(readings):
        if reading.desired and not before.desired:
            launched_at = reading.at
        elif not reading.desired:
            launched_at = None  # taken back
        elif reading.is_consuming and launched_at is not None:
            boots.append(Boot(launched_at=launched_at, consumed_at=reading.at))
            launched_at = None
    return boots


def _epoch_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
