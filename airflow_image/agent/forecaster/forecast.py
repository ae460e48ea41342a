"""Forecasts how many slots scheduled runs will need, from their past runs.

A forecast of a pool is a list of pairs (epoch_s, slots): from epoch_s on, so many more slots are expected to be needed
than were queued or active before.

- It follows a run over time: its first tasks need slots when the run is due, its later stages need more some seconds
  later. A run that is under way is expected to continue like its past runs.
- It is the mean over a DAG's last runs, not a quantile: when runs of many DAGs are due, the sum of their quantiles
  is more than they almost ever need at once. Fractions add up over DAGs before they are rounded.
- Pairs are independent, so they add up. A forecast does not say how long slots stay in use. From epoch_s on the backlog
  shows the demand; a reader that counts both would count the same tasks twice.
- A DAG without past runs, or without a due run, adds nothing: workers are launched once its tasks are queued.

Pure: due runs and past use are arguments.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.forecast import MOST_FORECAST_SLOTS, Forecast

TICK_EVERY_S = 60.0
# The scheduler may be a little late. A run that it has not created by then is no longer expected.
LATE_S = 60.0
# Rises within one bucket are expected at its start: the time of a boot is not known more precisely.
BUCKET_S = 15
# Slots are whole. A worker costs less than a task that waits for one, so fractions round up from here.
ROUNDED_UP_FROM = 0.25


@dataclass(frozen=True, kw_only=True)
class DueRun:
    """A run of a DAG that is due at `at`, in seconds since the epoch; it may already be created."""

    dag_id: str
    at: float


@dataclass(frozen=True, kw_only=True)
class PastUse:
    """The slots of one queue that a DAG's last `runs` runs needed.

    `rises`: pairs (seconds after the run was due, slots): in the BUCKET_S from then on, all runs together needed so
    many slots more than at any time before.
    """

    dag_id: str
    queue: str
    runs: int
    rises: tuple[tuple[int, int], ...]


def forecast(
    runs: Iterable[DueRun], past: Iterable[PastUse], *, pool_of: Mapping[str, str], since: float
) -> dict[str, Forecast]:
    """Return each pool's forecast after `since`; it is empty where nothing is expected.

    `pool_of`: the pool of each queue; tasks of other queues are not counted. slots(pool, t) = the sum, over the runs
    and the pool's queues, of the mean rise of the DAG's past runs t - due seconds after they were due; then rounded.
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
