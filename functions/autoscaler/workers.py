"""Sorts a pool's workers by what they are good for, and chooses which take messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy
from fleet.registry import CONSUMING, STARTING

# A message that comes between two looks finds a slot at once; more of them may wait for the next look, and a recall.
SPARE_SLOTS = 1
LOAD = attrgetter("active", "id")
# A drained worker comes last, because ECS might be stopping it.
SENIORITY = attrgetter("may_be_stopped", "started_at", "id")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The pool's workers by what they are good for; those that have ended are in none.

    `old`: ids of the workers of replaced deployments. `is_rollout_known`: true only when a deployment rolls out
    and it is known of which deployment each worker is.
    """

    usable: tuple[Worker, ...]  # those that have slots, whether they take messages now or could be told to
    serving: tuple[Worker, ...]  # of them: they take messages, or will without another order
    recallable: tuple[Worker, ...]  # of them: ordered to drain; of the present deployment's, the first is back soonest
    stoppable: tuple[Worker, ...]  # of those: they have drained
    stopping: tuple[Worker, ...]  # desired is lowered for them
    replaced: tuple[Worker, ...]  # old and drained: the rollout stops them at any moment, whatever is desired
    old: frozenset[str]
    is_rollout_known: bool

    @property
    def not_drained(self) -> int:
        """Members that hold protection or may soon: all but the drained ones."""
        return len(self.serving) + len(self.recallable) - len(self.stoppable)

    @property
    def old_usable(self) -> int:
        """The same of the old ones: they keep their protection until they are drained."""
        return sum(worker.id in self.old for worker in self.usable)

    @property
    def new_usable(self) -> int:
        """Workers of the present deployment, whatever they do."""
        return len(self.serving) + len(self.recallable) - self.old_usable

    @property
    def new_serving(self) -> tuple[Worker, ...]:
        """Those of them that take messages, or will without another order."""
        return tuple(worker for worker in self.serving if worker.id not in self.old)

    @property
    def protected(self) -> int:
        """Members that said they were protected."""
        return sum(worker.protected for worker in self.usable)

    @property
    def is_any_recalled(self) -> bool:
        """Recalled, and unprotected still."""
        return any(worker.is_being_recalled for worker in self.serving)

    @property
    def consuming(self) -> tuple[Worker, ...]:
        """Those that take messages now, the least busy first."""
        return tuple(worker for worker in by_load(self.serving) if worker.state == CONSUMING)

    def may_hold_protection(self, service: Service) -> int:
        """Of all tasks, those that hold protection or may soon: one that runs and is not in the registry counts."""
        known_idle = len(self.stoppable) + len(self.stopping) + len(self.replaced)
        return max(self.not_drained, service.running - known_idle)


def sort_workers(fleet: Fleet, service: Service, stopping: Mapping[str, float]) -> Workers:
    alive = [worker for worker in fleet.workers if not worker.has_ended]
    known = _old(alive, service)
    old = known or frozenset()
    replaced = tuple(w for w in alive if w.id in old and w.may_be_stopped and w.id not in stopping)
    usable = [worker for worker in alive if worker.id not in stopping and worker not in replaced]
    leaving = by_load(worker for worker in usable if worker.is_ordered_to_drain)
    # One that still holds protection cannot lose it to ECS on the way back; then the one with most free slots.
    recallable = sorted(leaving, key=lambda worker: not worker.protected)
    return Workers(
        usable=tuple(usable),
        serving=tuple(worker for worker in usable if not worker.is_ordered_to_drain),
        recallable=tuple(recallable),
        stoppable=tuple(worker for worker in recallable if worker.may_be_stopped),
        stopping=tuple(worker for worker in alive if worker.id in stopping),
        replaced=replaced,
        old=old,
        is_rollout_known=known is not None,
    )


def by_load(workers: Iterable[Worker]) -> list[Worker]:
    """The least busy first."""
    return sorted(workers, key=LOAD)


def _old(alive: list[Worker], service: Service) -> frozenset[str] | None:
    if not service.is_rolling_out or any(worker.deployment is None for worker in alive):
        return None
    return frozenset(worker.id for worker in alive if worker.deployment != service.primary)


def to_consume(workers: Workers, policy: Policy, *, slots: int, ahead: int) -> frozenset[str]:
    """The ids of as few workers as have `slots` free ones and SPARE_SLOTS more; the others may drain.

    Then of others, for slots that are wanted `ahead` of their tasks: those only add to what is chosen without them.

    The longest-running come first: tasks gather on workers that stay anyway, and the newest become empty. A drained
    worker comes last, because ECS might be stopping it. None is kept empty for nothing but the spare slots, apart from
    the minimum. Those that only start are not counted on: they may take minutes.
    """
    by_seniority = sorted((worker for worker in workers.usable if worker.state != STARTING), key=SENIORITY)
    chosen: set[str] = set()
    missing = SPARE_SLOTS
    for more in (slots, ahead):
        missing += more
        for worker in by_seniority[: policy.maximum]:
            if missing <= 0 and len(chosen) >= policy.minimum:
                break
            is_wanted = len(chosen) < policy.minimum or missing > (0 if worker.active else SPARE_SLOTS)
            if is_wanted and worker.id not in chosen:
                chosen.add(worker.id)
                missing -= worker.free_slots
    return frozenset(chosen)


def free_slots(workers: Iterable[Worker]) -> int:
    """Of all of them together."""
    return sum(worker.free_slots for worker in workers)
