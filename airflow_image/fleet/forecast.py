"""Forecasts how many slots the scheduled runs that are due soon will want, from what such runs wanted before.

A forecast of a pool is a list of pairs (epoch_s, slots): from epoch_s on, `slots` slots more are expected to be wanted,
at once, by runs that are due at epoch_s, beyond what is queued or active before.

- It is about the beginning of a run: a worker that is started for a later stage would idle for as long as a boot takes.
- Pairs are independent, so they add up: slots for a run at 10:00 and for one at 10:05. How long they stay wanted is not
  said. From epoch_s on the backlog says what is wanted, and a reader that counts both would count the same tasks twice.
- A DAG without past runs, or none that is due, adds nothing: it is scaled for when its tasks are queued.

Pure: what is due and what was wanted are arguments.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.foretold import MOST_FORECAST_SLOTS, Forecast

LOOK_EVERY_S = 60.0
# The scheduler may be a little late. A run that it has not created by then is not awaited any longer.
LATE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class DueRun:
    """A run of a DAG that Airflow will create at `at`, in seconds since the epoch."""

    dag_id: str
    at: float


@dataclass(frozen=True, kw_only=True)
class PastUse:
    """Of a DAG's last `runs` runs: the slots that each wanted of one queue at most, for those that used it at all."""

    dag_id: str
    queue: str
    runs: int
    peaks: tuple[int, ...]


def forecast(
    due: Iterable[DueRun], past: Iterable[PastUse], *, pool_of: Mapping[str, str], quantile: float
) -> dict[str, Forecast]:
    """By pool, an empty one where nothing is due. `pool_of`: by queue; another queue's tasks run elsewhere.

    slots(pool, t) = sum over the runs due in the second t, over the pool's queues, of slots_wanted(...).
    """
    wanted: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for use in past:
        if use.queue in pool_of:
            wanted[use.dag_id].append((pool_of[use.queue], slots_wanted(use, quantile)))
    totals: dict[str, dict[int, int]] = {pool: defaultdict(int) for pool in pool_of.values()}
    for run in due:
        for pool, slots in wanted[run.dag_id]:
            totals[pool][math.floor(run.at)] += slots
    return {
        pool: tuple((at, min(slots, MOST_FORECAST_SLOTS)) for at, slots in sorted(total.items()) if slots)
        for pool, total in totals.items()
    }


def slots_wanted(use: PastUse, quantile: float) -> int:
    """The quantile (above 0, at most 1) over all runs by nearest rank; a run that did not use the queue counts as 0."""
    zeros = max(0, use.runs - len(use.peaks))
    ordered = [0] * zeros + sorted(use.peaks)
    return ordered[math.ceil(quantile * len(ordered)) - 1] if ordered else 0
