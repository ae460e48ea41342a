"""What Airflow's schedule knows of a load: which runs are due when, and what runs before the load used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from bench.loads.order import NONE
from bench.loads.past_run import Rises


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

    def knowing(self, share: float, *, seed: int = 1) -> Calendar:
        """Of the DAGs only such a share, chosen at random."""
        dag_ids = sorted({run.dag_id for run in self.runs})
        chosen = set(Random(f"known {seed}").sample(dag_ids, round(share * len(dag_ids))))
        return replace(self, runs=[run for run in self.runs if run.dag_id in chosen])

    def with_missed(self, share: float, *, seed: int = 1) -> Calendar:
        """With runs in addition, `share` of those there are, that are due with them and never begin."""
        dice = Random(f"missed {seed}")
        missed = [replace(run, created_at=math.inf, last_stage=NONE) for run in self.runs if dice.random() < share]
        return replace(self, runs=sorted((*self.runs, *missed), key=lambda run: (run.due_at, run.dag_id)))
