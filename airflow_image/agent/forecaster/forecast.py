"""Forecasts how many slots scheduled runs will want, from the course that such runs took before.

A forecast of a pool is a list of pairs (epoch_s, slots): from epoch_s on so many slots more are expected to be wanted,
beyond what is queued or active before.

- It follows a run's course: what its first tasks want when it is due, and what its later stages want besides, so many
  seconds after. The course of a run that is under way is expected to go on.
- It is the mean over a DAG's last runs, not a quantile: when runs of many DAGs are due, their quantiles together are
  more than they hardly ever want at once. Fractions add up over DAGs before they are rounded.
- Pairs are independent, so they add up. How long slots stay wanted is not said. From epoch_s on the backlog says what
  is wanted, and a reader that counts both would count the same tasks twice.
- A DAG without past runs, or none that is due, adds nothing: it is scaled for when its tasks are queued.

Pure: the runs and what was wanted are arguments.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.forecast import MOST_FORECAST_SLOTS, Forecast

LOOK_EVERY_S = 60.0
# The scheduler may be a little late. A run that it has not created by then is not awaited any longer.
LATE_S = 60.0
# What a run wants more within so many seconds is expected at their begin: a boot's time is not known any better.
BUCKET_S = 15
# Slots are whole. A worker costs less than a task that waits for one, so more is rounded up than down.
ROUNDED_UP_FROM = 0.25


@dataclass(frozen=True, kw_only=True)
class DueRun:
    """A run of a DAG that is due at `at`, in seconds since the epoch; it may have been created already."""

    dag_id: str
    at: float


@dataclass(frozen=True, kw_only=True)
class PastUse:
    """What a DAG's last `runs` runs wanted of one queue.

    `rises`: pairs of a second of the run and of slots: so many more than at any time before were wanted in the
    BUCKET_S from then on, by all runs together.
    """

    dag_id: str
    queue: str
    runs: int
    rises: tuple[tuple[int, int], ...]


def forecast(
    runs: Iterable[DueRun], past: Iterable[PastUse], *, pool_of: Mapping[str, str], since: float
) -> dict[str, Forecast]:
    """By pool, what is expected after `since`; empty where that is nothing.

    `pool_of`: by queue; another queue's tasks run elsewhere. slots(pool, t) = the sum, over the runs and the pool's
    queues, of what the mean run of the DAG wants more t - due seconds after it was due; rounded then.
    """
    courses: dict[str, list[tuple[str, PastUse]]] = defaultdict(list)
    for use in past:
        if use.queue in pool_of:
            courses[use.dag_id].append((pool_of[use.queue], use))
    totals: dict[str, dict[int, float]] = {pool: defaultdict(float) for pool in pool_of.values()}
    for run in runs:
        due = math.floor(run.at)
        for pool, use in courses[run.dag_id]:
            total = totals[pool]
            for after_s, slots in use.rises:
                if due + after_s > since:
                    total[due + after_s] += slots / use.runs
    return {pool: _whole(total) for pool, total in totals.items()}


def _whole(total: Mapping[int, float]) -> Forecast:
    rounded = ((at, math.ceil(slots - ROUNDED_UP_FROM)) for at, slots in sorted(total.items()))
    return tuple((at, min(slots, MOST_FORECAST_SLOTS)) for at, slots in rounded if slots > 0)
