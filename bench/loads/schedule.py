"""What Airflow's schedule knows of a load: which runs are due when, and how past runs went."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from agent import names
from agent.forecast import BUCKET_S
from bench.loads.stages import NONE
from fleet.pools import POOLS, pool_entry
from roles.forecasting import forecast_settings

QUEUE, POOL = "default", "worker"
# What the container runs with where nobody sets anything.
DEFAULTS = forecast_settings(
    {POOLS: json.dumps([pool_entry(name=POOL, queues=[QUEUE], minimum=0, maximum=1, concurrency=1)])},
)
AHEAD_S = 60.0 * int(DEFAULTS[names.FORECAST_MINUTES])
WINDOW_S = float(DEFAULTS[names.FORECAST_WINDOW_S])
RUNS = int(DEFAULTS[names.FORECAST_RUNS])
LEAST_S = 1.0  # as agent.past_use: a slot is taken for so long by the shortest task
Rises = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class ScheduledRun:
    """`due_at` and `created_at`, of its first tasks, in seconds; the latter is infinite for a run that never begins.

    `last_stage`, in the load's order, ends with the run.
    """

    dag_id: str
    due_at: float
    created_at: float
    last_stage: int


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """`runs` by the time they are due; `courses`: of each DAG's runs before the load's begin, the last one last.

    A run of the load that is not in its calendar is one that nobody could foresee.
    """

    runs: Sequence[ScheduledRun]
    courses: Mapping[str, Sequence[Rises]]

    def with_share_known(self, share: float, *, seed: int = 1) -> Calendar:
        """Of the DAGs only such a share, chosen at random."""
        dag_ids = sorted({run.dag_id for run in self.runs})
        chosen = set(Random(f"known {seed}").sample(dag_ids, round(share * len(dag_ids))))
        return replace(self, runs=[run for run in self.runs if run.dag_id in chosen])

    def with_missed_runs(self, share: float, *, seed: int = 1) -> Calendar:
        """With runs in addition, `share` of those there are, that are due with them and never begin."""
        dice = Random(f"missed {seed}")
        missed = [replace(run, created_at=math.inf, last_stage=NONE) for run in self.runs if dice.random() < share]
        return replace(self, runs=sorted((*self.runs, *missed), key=lambda run: (run.due_at, run.dag_id)))


@dataclass(frozen=True, kw_only=True)
class PastTask:
    """When it was queued, started and ended, in seconds."""

    queued: float
    started: float
    ended: float


def rises_of(tasks: Sequence[PastTask], *, window_s: float) -> Rises:
    """Pairs of a second of the run and the slots that it wanted more than before in the BUCKET_S from then on.

    Of the first `window_s` seconds, as if no task had waited; `tasks` is not empty. The clock stands still until the
    first one starts. A test holds this against the statement that Postgres runs.
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
