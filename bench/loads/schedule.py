"""What Airflow's schedule knows of a load: when runs are due, and how many slots past runs needed."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from agent import variables
from agent.forecaster.forecast import BUCKET_S
from bench.loads.stages import NONE
from fleet.pools import POOLS, pool_entry
from roles.forecaster_settings import forecast_settings

QUEUE, POOL = "default", "worker"
# The defaults of the forecaster's container.
DEFAULTS = forecast_settings(
    {POOLS: json.dumps([pool_entry(name=POOL, queues=[QUEUE], minimum=0, maximum=1, concurrency=1)])},
)
AHEAD_S = 60.0 * int(DEFAULTS[variables.FORECAST_MINUTES])
WINDOW_S = float(DEFAULTS[variables.FORECAST_WINDOW_S])
RUNS = int(DEFAULTS[variables.FORECAST_RUNS])
LEAST_S = 1.0  # the shortest time for which a task takes a slot, as in agent.forecaster.past_use
Rises = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class ScheduledRun:
    """A DAG run of the schedule."""

    dag_id: str
    due_at: float  # when the run is due, in seconds
    created_at: float  # when Airflow queues its first tasks, in seconds; infinite for a run that never begins
    last_stage: int  # the number of the run's last stage in the load's stages


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The schedule of a load. A run of the load that is not in it is unscheduled."""

    runs: Sequence[ScheduledRun]  # the scheduled runs, by due time
    # By DAG, the slot demand of its runs before the load begins, the latest run last.
    courses: Mapping[str, Sequence[Rises]]

    def with_share_known(self, share: float, *, seed: int = 1) -> Calendar:
        """Return the calendar with only this share of the DAGs, chosen at random."""
        dag_ids = sorted({run.dag_id for run in self.runs})
        chosen = set(Random(f"known {seed}").sample(dag_ids, round(share * len(dag_ids))))
        return replace(self, runs=[run for run in self.runs if run.dag_id in chosen])

    def with_missed_runs(self, share: float, *, seed: int = 1) -> Calendar:
        """Return the calendar with additional runs that never begin: copies of this share of its runs."""
        dice = Random(f"missed {seed}")
        missed = [replace(run, created_at=math.inf, last_stage=NONE) for run in self.runs if dice.random() < share]
        return replace(self, runs=sorted((*self.runs, *missed), key=lambda run: (run.due_at, run.dag_id)))


@dataclass(frozen=True, kw_only=True)
class PastTask:
    """When a task was queued, started and ended, in seconds."""

    queued: float
    started: float
    ended: float


def rises_of(tasks: Sequence[PastTask], *, window_s: float) -> Rises:
    """Return the slot demand of a past run as (second of the run, additional slots), rounded down to BUCKET_S.

    `agent.forecaster.past_use` asks Postgres for the same; a test compares both. It covers the first `window_s` seconds
    of the run, as if no task had waited. Time begins with the first task's start. `tasks` must not be empty.
    """
    begin = min(task.started for task in tasks)
    steps = []
    for task in tasks:
        wanted_at = max(0.0, task.queued - begin)
        if wanted_at < window_s:
            steps += [(wanted_at, 1), (wanted_at + max(LEAST_S, task.ended - task.started), -1)]
    rises: dict[int, int] = defaultdict(int)
    wanted = most = 0
    for at, step in sorted(steps):
        wanted += step
        if wanted > most:
            most = wanted
            rises[int(at // BUCKET_S) * BUCKET_S] += 1
    return tuple(rises.items())
