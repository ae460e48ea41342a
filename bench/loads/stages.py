"""Which tasks are queued only when others have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NONE = -1  # no stage follows
# Airflow's scheduler looks about once a second, and queues what may run now.
FOLLOWS_AFTER_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Stages of tasks, by number; a stage's tasks come FOLLOWS_AFTER_S after the last of the stage before has ended.

    Those are at most `most_at_once`; each of the others comes FOLLOWS_AFTER_S after one that came has ended, as
    Airflow's max_active_tasks_per_dag has it. `stage_of`: by task. `tasks_of`: by stage. `next_of`: by stage, or NONE.
    `first_tasks`: those that come by themselves, in the order of their arrival.
    """

    stage_of: Sequence[int]
    tasks_of: Sequence[Sequence[int]]
    next_of: Sequence[int]
    first_tasks: Sequence[int]
    most_at_once: int


class Progress:
    """How far the stages of an order have come."""

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self._left = [len(tasks) for tasks in stages.tasks_of]
        self._came = [min(len(tasks), stages.most_at_once) for tasks in stages.tasks_of]
        self._before = {following: stage for stage, following in enumerate(stages.next_of) if following != NONE}

    def end(self, task: int) -> Sequence[int]:
        """The tasks that may come now that this one has ended."""
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
        """Whether the stage has ended, and its run with it."""
        return not self._left[stage] and self.stages.next_of[stage] == NONE

    def chain_to(self, stage: int) -> list[int]:
        """The stage and all that came before it."""
        chain = [stage]
        while (before := self._before.get(chain[-1])) is not None:
            chain.append(before)
        return chain
