"""Chooses which workers take messages."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from autoscaler.crew import Crew
from autoscaler.observation import Worker
from fleet.registry import STARTING

# A message that comes between two looks finds a slot at once; more of them may wait for the next look, and a recall.
SPARE_SLOTS = 1
SENIORITY = attrgetter("started_at", "id")
IS_DRAINED = attrgetter("may_be_stopped")


def to_consume(crew: Crew, *, slots: int, ahead: int, minimum: int, maximum: int) -> frozenset[str]:
    """The ids of as few workers as have `slots` free ones and SPARE_SLOTS more; the others may drain.

    Then of others, for slots that are wanted `ahead` of their tasks: those only add to what is chosen without them.

    The longest-running come first: tasks gather on workers that stay anyway, and the newest become empty. A drained
    worker comes last, because ECS might be stopping it. None is kept empty for nothing but the spare slots, apart from
    the minimum. Those that only start are not counted on: they may take minutes.
    """
    workers = [worker for worker in crew.here if worker.state != STARTING]
    workers.sort(key=SENIORITY)
    # Two sorts are quicker than one by all three, and mostly none is drained.
    if crew.stoppable:
        workers.sort(key=IS_DRAINED)
    chosen: set[str] = set()
    missing = SPARE_SLOTS
    for more in (slots, ahead) if ahead else (slots,):
        missing += more
        for worker in workers[:maximum]:
            if missing <= 0 and len(chosen) >= minimum:
                break
            is_wanted = len(chosen) < minimum or missing > (0 if worker.active else SPARE_SLOTS)
            if is_wanted and worker.id not in chosen:
                chosen.add(worker.id)
                missing -= worker.free_slots
    return frozenset(chosen)


def free_slots(workers: Iterable[Worker]) -> int:
    """Of all of them together."""
    return sum([worker.free_slots for worker in workers])
