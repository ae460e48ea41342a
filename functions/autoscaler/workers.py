"""Sorts a pool's workers by what the autoscaler can do with them; chooses which of them consume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy
from fleet.member import CONSUMING, STARTING

# One message that comes between two ticks finds a slot at once; more of them may wait for the next tick, and a recall.
SPARE_SLOTS = 1
LOAD = attrgetter("active", "id")
# A drained worker comes last, because ECS might be stopping it.
SENIORITY = attrgetter("may_be_stopped", "started_at", "id")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The pool's workers by what can be done with them; workers that have ended are in no group.

    `old`: ids of the workers of replaced deployments. `is_rollout_known`: a deployment rolls out and the deployment of
    each worker is known. `retiring`: ids of the workers that AWS would stop, see `retirement`.
    """

    usable: tuple[Worker, ...]  # have slots, and consume or could be told to
    serving: tuple[Worker, ...]  # usable ones that consume, or will without another order
    recallable: tuple[Worker, ...]  # usable ones that are ordered to drain, the soonest back first
    stoppable: tuple[Worker, ...]  # recallable ones that are drained, retiring ones first
    stopping: tuple[Worker, ...]  # drained, and the desired count was lowered for them
    replaced: tuple[Worker, ...]  # old and drained: the rollout stops them at any moment, whatever is desired
    old: frozenset[str]
    is_rollout_known: bool
    retiring: frozenset[str] = frozenset()

    @property
    def available(self) -> tuple[Worker, ...]:
        """Usable workers whose slots count: a retiring worker that is ordered to drain is never recalled."""
        if not self.retiring:
            return self.usable
        return tuple(w for w in self.usable if not (w.is_ordered_to_drain and w.id in self.retiring))

    @property
    def not_drained(self) -> int:
        """Usable workers that hold protection or may soon."""
        return len(self.serving) + len(self.recallable) - len(self.stoppable)

    @property
    def old_usable(self) -> int:
        """Old workers that keep their protection until they are drained."""
        return sum(worker.id in self.old for worker in self.usable)

    @property
    def new_usable(self) -> int:
        """Usable workers of the new deployment."""
        return len(self.serving) + len(self.recallable) - self.old_usable

    @property
    def new_serving(self) -> tuple[Worker, ...]:
        """Workers of the new deployment that consume, or will without another order."""
        return tuple(worker for worker in self.serving if worker.id not in self.old)

    @property
    def protected(self) -> int:
        """Usable workers that report protection."""
        return sum(worker.protected for worker in self.usable)

    @property
    def is_any_recalled(self) -> bool:
        """Whether a recalled worker is still unprotected."""
        return any(worker.is_being_recalled for worker in self.serving)

    @property
    def consuming(self) -> tuple[Worker, ...]:
        """Workers in the state `consuming`, those that take no messages first, then the least busy."""
        found = (worker for worker in by_load(self.serving) if worker.state == CONSUMING)
        return tuple(sorted(found, key=lambda worker: worker.is_consuming))

    def may_hold_protection(self, service: Service) -> int:
        """Count the ECS tasks that hold protection or may soon, also running ones that the registry does not show."""
        known_idle = len(self.stoppable) + len(self.stopping) + len(self.replaced)
        return max(self.not_drained, service.running - known_idle)


def sort_workers(
    fleet: Fleet, service: Service, stopping: Mapping[str, float], *, retiring: frozenset[str] = frozenset()
) -> Workers:
    """Sort the workers of one pool. `stopping`: ids for which the desired count was lowered, and when."""
    alive = [worker for worker in fleet.workers if not worker.has_ended]
    known = _old(alive, service)
    old = known or frozenset()
    replaced = tuple(w for w in alive if w.id in old and w.may_be_stopped and w.id not in stopping)
    usable = [worker for worker in alive if worker.id not in stopping and worker not in replaced]
    draining = by_load(worker for worker in usable if worker.is_ordered_to_drain)
    # A protected worker cannot be stopped by ECS on its way back; the busier one of two has fewer free slots.
    recallable = sorted(draining, key=lambda worker: not worker.protected)
    return Workers(
        usable=tuple(usable),
        serving=tuple(worker for worker in usable if not worker.is_ordered_to_drain),
        recallable=tuple(recallable),
        stoppable=tuple(sorted((w for w in recallable if w.may_be_stopped), key=lambda w: w.id not in retiring)),
        stopping=tuple(worker for worker in alive if worker.id in stopping),
        replaced=replaced,
        old=old,
        is_rollout_known=known is not None,
        retiring=retiring,
    )


def by_load(workers: Iterable[Worker]) -> list[Worker]:
    """Sort workers, the least busy first."""
    return sorted(workers, key=LOAD)


def _old(alive: list[Worker], service: Service) -> frozenset[str] | None:
    if not service.is_rolling_out or any(worker.deployment is None for worker in alive):
        return None
    return frozenset(worker.id for worker in alive if worker.deployment != service.primary)


def to_consume(workers: Workers, policy: Policy, *, slots: int, ahead: int, least: int) -> frozenset[str]:
    """Choose the fewest workers that have `slots` free slots and SPARE_SLOTS more; the others may drain.

    Choose at least `least`. Then add workers for the slots that are wanted `ahead` of their tasks.

    The longest-running workers come first: tasks gather on workers that stay anyway, and the newest become empty. A
    drained worker comes last, because ECS might be stopping it, and after all others one that retires. Beyond the
    least, no empty worker is kept for the spare slots alone. Starting workers do not count: they may take minutes. Nor
    do those that take no messages. Return the ids.
    """
    present = (worker for worker in workers.available if worker.state != STARTING and not worker.trouble)
    by_seniority = sorted(present, key=SENIORITY)
    if workers.retiring:
        # Of those that retire, the oldest ones go first.
        by_seniority.sort(key=lambda w: w.started_at if w.id in workers.retiring else math.inf, reverse=True)
    chosen: set[str] = set()
    missing = SPARE_SLOTS
    for more in (slots, ahead):
        missing += more
        for worker in by_seniority[: policy.maximum]:
            if missing <= 0 and len(chosen) >= least:
                break
            is_wanted = len(chosen) < least or missing > (0 if worker.active else SPARE_SLOTS)
            if is_wanted and worker.id not in chosen:
                chosen.add(worker.id)
                missing -= worker.free_slots
    return frozenset(chosen)


def free_slots(workers: Iterable[Worker]) -> int:
    """Sum the free slots of all workers."""
    return sum(worker.free_slots for worker in workers)
