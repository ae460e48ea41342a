"""The stages of DAG runs: which tasks are queued only after others have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NONE = -1  # no stage follows
# Airflow's scheduler queues the tasks that may run about once a second.
FOLLOWS_AFTER_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Numbered stages of tasks. A stage's tasks are queued FOLLOWS_AFTER_S after the previous stage has ended.

    At most `most_at_once` of them are queued then; each of the others follows FOLLOWS_AFTER_S after a queued one has
    ended, as with Airflow's max_active_tasks_per_dag.
    """

    stage_of: Sequence[int]  # the stage of each task
    tasks_of: Sequence[Sequence[int]]  # the tasks of each stage
    next_of: Sequence[int]  # the stage that follows each stage, or NONE
    first_tasks: Sequence[int]  # the tasks that follow no other task, by arrival
    most_at_once: int  # the most tasks of a stage that are queued or running at once


class Progress:
    """Tracks which tasks have ended and which may be queued next."""

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self._left = [len(tasks) for tasks in stages.tasks_of]
        self._came = [min(len(tasks), stages.most_at_once) for tasks in stages.tasks_of]
        self._before = {following: stage for stage, following in enumerate(stages.next_of) if following != NONE}

    def end(self, task: int) -> Sequence[int]:
        """Record that a task has ended; return the tasks that are queued next."""
        stages = self.stages
        stage = stages.stage_of[task]
        self._left[stage] -= 1
        tasks, came = stages.tasks_of[stage], self._came[stage]
        if came < len(tasks):
            self._came[stage] += 1
            return (tasks[came],)
        following = stages.next_of[stage]
        if self._left[stage] or following == NONE:
            return ()
        return stages.tasks_of[following][: stages.most_at_once]

    def has_ended_run(self, stage: int) -> bool:
        """Return whether the stage has ended and is the last of its run."""
        return not self._left[stage] and self.stages.next_of[stage] == NONE

    def chain_to(self, stage: int) -> list[int]:
        """Return the stage and all stages before it, the last one first."""
        chain = [stage]
        while (before := self._before.get(chain[-1])) is not None:
            chain.append(before)
        return chain
