"""Replaces workers before AWS stops them: those above an age, and those of which AWS says that it retires them. Pure.

AWS stops each Fargate task some time after its platform has a newer revision, whatever protection the task holds. A
worker that has to go for that reason is *retiring*:

- It consumes until a worker that does not retire consumes in its place. Then it drains, and is never recalled: it could
  take a task that outlasts it.
- Its replacement is launched beside it, beyond the pool's maximum if need be, as in a rollout.
- As many workers consume as the demand needs, so none drains before its replacement consumes, and no two replacements
  are launched for one place.

In a rollout no worker retires: the rollout replaces those that are old, and the others are new. Nor does one in a pool
that is asleep: its workers drain in any case, and none is launched in their place.
"""

from __future__ import annotations

from collections.abc import Collection
from zlib import crc32

from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy
from autoscaler.workers import Workers, by_load
from fleet.member import CONSUMING

# Workers that were launched together must not all retire at once. Each has its own limit, lower by up to this share.
JITTER = 0.25
_CRCS = 2**32


def retiring(fleet: Fleet, service: Service, policy: Policy, *, now: float) -> frozenset[str]:
    """Return the ids of the workers that retire."""
    before = service.retire_before
    if before is not None and before > now:
        before = None  # until then each new worker would retire, too
    if service.is_rolling_out or service.asleep or (before is None and policy.max_age_s is None):
        return frozenset()
    return frozenset(w.id for w in fleet.workers if _retires(w, before=before, max_age_s=policy.max_age_s, now=now))


def age_limit_s(worker: str, max_age_s: float) -> float:
    """Return the worker's own limit, in seconds since its start. It is the same at every tick."""
    return max_age_s * (1 - JITTER * crc32(worker.encode()) / _CRCS)


def replacements_wanted(workers: Workers, *, needed: int) -> int:
    """Count the workers to launch for retiring ones that serve, beyond those that have started already."""
    if not workers.retiring:
        return 0
    leaving = sum(worker.id in workers.retiring for worker in workers.serving)
    staying = sum(worker.id not in workers.retiring and not worker.trouble for worker in workers.usable)
    return max(0, min(leaving, needed - staying))


def least_consuming(workers: Workers, policy: Policy, *, needed: int) -> int:
    """Return how many workers must consume: while retiring ones do, as many as the demand needs."""
    leaves = any(worker.id in workers.retiring for worker in workers.serving)
    return max(policy.minimum, needed) if leaves else policy.minimum


def split_unneeded(workers: Workers, chosen: Collection[str]) -> tuple[tuple[Worker, ...], tuple[Worker, ...]]:
    """Return the consuming workers that are not `chosen`: those that are replaced, and the surplus.

    A retiring worker is replaced once another consumes in its place. None drains before all chosen ones consume.
    """
    unneeded = by_load(w for w in workers.serving if w.state == CONSUMING and w.id not in chosen)
    if not workers.retiring:
        return (), tuple(unneeded)
    kept = [worker for worker in workers.usable if worker.id in chosen]
    in_place = [worker for worker in kept if worker.id not in workers.retiring]
    leaving = [worker for worker in unneeded if worker.id in workers.retiring]
    staying = [worker for worker in unneeded if worker.id not in workers.retiring]
    if any(worker.is_ordered_to_drain or worker.state != CONSUMING for worker in kept):
        return (), tuple(staying)
    replaced = leaving[: len(in_place)]
    return tuple(replaced), tuple(by_load((*leaving[len(in_place) :], *staying)))


def retired_drained(workers: Workers) -> int:
    """Count the retiring workers that have drained: the desired count may fall by them."""
    return sum(worker.id in workers.retiring for worker in workers.stoppable)


def count_retiring(workers: Workers) -> int:
    """Count the retiring workers that may hold a task: they may run beside as many others as the maximum allows."""
    if not workers.retiring:
        return 0
    return sum(worker.id in workers.retiring for worker in workers.usable) - retired_drained(workers)


def _retires(worker: Worker, *, before: float | None, max_age_s: float | None, now: float) -> bool:
    if before is not None and worker.started_at < before:
        return True
    if max_age_s is None or now - worker.started_at < max_age_s * (1 - JITTER):
        return False  # most workers, without a checksum
    return now - worker.started_at >= age_limit_s(worker.id, max_age_s)
