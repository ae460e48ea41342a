"""Decides how many workers a pool should have, which drain, which are recalled.

Pure: the Lambda, the simulator and the tests call `decide`; time and limits are arguments.

Why nothing is killed. ECS stops only unprotected tasks when desired falls; a worker is protected from before its first
message until it is drained. Two rules keep it so:

- desired falls only by workers that are drained (in a rollout, also by tasks that have not begun to run), and never
  below the number of tasks that may hold protection. Tasks that run but are not in the registry count as protected.
  (More protected tasks than desired would also make ECS refuse to renew protection.)
- a worker for which desired was lowered is *released*: not capacity, never recalled. When demand returns, desired is
  raised instead. ECS is free to stop another unprotected worker (drained or starting) in its place; that one runs
  nothing either, and a recall that loses this race is harmless: the worker asks for protection first, ECS refuses it,
  the worker stays unsubscribed. A released worker that is still here after RELEASE_HOLDS_S was not the one stopped,
  and is an ordinary drained worker again.

Two decisions at once, or one decided twice, hold as well: desired and orders are absolute, not steps. What counts
cannot show is a drained worker that crashed seconds ago beside a task that has not reported yet: desired may then be
one too low until the next look raises it, long before a protection expires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscaler.crew import Crew, muster
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable, Worker
from autoscaler.rollout import not_to_begin, tasks_to_grant, to_be_replaced
from autoscaler.waits import heads_now, oldest_wait_s
from fleet.registry import MEMBER_TTL_S

# ECS acts on a lower desired within seconds, an idle worker ends within 10 s, the registry forgets it after its TTL.
RELEASE_HOLDS_S = MEMBER_TTL_S + 30.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A pool's limits in workers, its slots a worker, and how long a surplus must last before workers drain.

    `max_step_out`: workers that one look may add; None sets no limit.
    """

    minimum: int
    maximum: int
    concurrency: int
    scale_in_after_s: float = 30.0
    max_step_out: int | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`desired` is None when the service could not be read: leave it alone. The others are None when not known."""

    desired: int | None
    drain: tuple[str, ...] = ()
    recall: tuple[str, ...] = ()
    reason: str
    memory: Memory
    needed: int | None = None
    oldest_wait_s: float | None = None


def decide(observation: Observation, policy: Policy, memory: Memory) -> Decision:
    """Demand = queued + active; needed = ceil(demand / concurrency) within the limits.

    Fewer working than needed: recall workers that drain or have drained, and raise desired to what is needed.
    More consuming than needed for `scale_in_after_s`: the least busy drain. Drained and not needed: release.
    In a rollout old workers drain as new ones consume, see `rollout`. An input that could not be read keeps the size;
    a malformed member, or a rollout whose workers cannot be told apart, prevents scale-in only.
    """
    queued, fleet, service = observation.queued, observation.fleet, observation.service
    if isinstance(service, Service) and service.paused:
        return _pause(service, memory)
    if isinstance(queued, Unreadable) or isinstance(fleet, Unreadable) or isinstance(service, Unreadable):
        return _hold(observation, memory)

    now = observation.now
    in_queue = sum(queued.values())
    needed = workers_needed(in_queue + fleet.active, policy)
    released = _still_released(memory, fleet, now=now)
    crew = muster(fleet, service, released)
    recall = _to_recall(crew, service, needed=needed)
    wanted = _at_most_a_step(needed, service, policy)
    raised = max(service.desired, wanted, _tasks_to_keep(crew, service), tasks_to_grant(crew, needed))

    replaced: tuple[Worker, ...] = ()
    surplus: tuple[Worker, ...] = ()
    release: tuple[Worker, ...] = ()
    lowered = raised
    obstacle = _why_no_scale_in(observation, fleet, crew)
    if not obstacle and not recall:
        replaced = (*to_be_replaced(crew, needed), *not_to_begin(crew, needed)) if crew.in_rollout else ()
        surplus = _least_busy_beyond(needed, crew.consuming, but=replaced)
        release = _releasable(crew, raised - crew.may_hold_protection(service))
        lowered = raised - len(release)
        if crew.in_rollout and not _is_anybody_coming_back(crew):
            # What was granted for old workers that are gone by now is taken back at once.
            lowered = min(lowered, max(wanted, tasks_to_grant(crew, needed), crew.may_hold_protection(service)))
    since = _surplus_since(memory, now=now) if surplus else None
    drain = surplus if since is not None and now - since >= policy.scale_in_after_s else ()

    changes = (
        f"recall {len(recall)}" if recall else "",
        f"replace {len(replaced)}" if replaced else "",
        f"drain {len(drain)}" if drain else "",
        f"desired {service.desired} -> {lowered}" if lowered != service.desired else "",
    )
    waiting = f"{len(surplus)} too many for {now - since:.0f} s" if since is not None and not drain else ""
    situation = (
        f"{in_queue} queued + {fleet.active} active need {needed}: "
        f"{len(crew.working)} work, {len(crew.recallable)} drain or drained, {len(crew.released)} released"
    )
    step = f"at most {policy.max_step_out} more a look" if wanted < needed else ""
    rollout = f"rolling out: {crew.new_here} new, {crew.old_staying} old stay" if crew.in_rollout else ""
    heads = heads_now(observation.heads, memory.heads, now=now)
    return Decision(
        desired=lowered,
        drain=tuple(worker.id for worker in (*replaced, *drain)) + _to_be_told_again(crew, recall),
        recall=tuple(worker.id for worker in recall),
        reason="; ".join(filter(None, (situation, rollout, *changes, step, waiting, obstacle))),
        memory=Memory(
            surplus_since=since, released={**released, **{worker.id: now for worker in release}}, heads=heads
        ),
        needed=needed,
        oldest_wait_s=oldest_wait_s(heads, now=now),
    )


def workers_needed(demand: int, policy: Policy) -> int:
    """ceil(demand / concurrency), at least the minimum, at most the maximum."""
    return min(policy.maximum, max(policy.minimum, -(-demand // policy.concurrency)))


def _at_most_a_step(needed: int, service: Service, policy: Policy) -> int:
    """What is needed, or as much of it as one look may add. The minimum is no demand, and is restored at once."""
    if policy.max_step_out is None:
        return needed
    return min(needed, max(policy.minimum, service.desired + policy.max_step_out))


def _pause(service: Service, memory: Memory) -> Decision:
    """Nothing changes, whatever is read or not."""
    return Decision(
        desired=service.desired,
        reason="paused by a tag on the service: no change of size, no orders",
        memory=replace(memory, surplus_since=None),
    )


def _hold(observation: Observation, memory: Memory) -> Decision:
    """The present size. A surplus must be seen without a gap, so its time starts again."""
    service = observation.service
    return Decision(
        desired=None if isinstance(service, Unreadable) else service.desired,
        reason="size kept, unreadable: " + "; ".join(str(part) for part in observation.unreadable),
        memory=replace(memory, surplus_since=None),
    )


def _still_released(memory: Memory, fleet: Fleet, *, now: float) -> dict[str, float]:
    """The released workers but those that ECS must have spared by now, or that somebody recalled nevertheless.

    One that is not seen stays released: were it seen once more, it would be released twice.
    """
    back = {worker.id for worker in fleet.workers if not worker.may_be_stopped}
    return {
        worker: at for worker, at in memory.released.items() if worker not in back and 0 <= now - at < RELEASE_HOLDS_S
    }


def _to_recall(crew: Crew, service: Service, *, needed: int) -> tuple[Worker, ...]:
    """Leaving workers that are needed, never one of a replaced deployment.

    The new scheduler starts when the old workers have left their queues, and counts on it that they stay away.
    """
    if service.is_rolling_out and not crew.in_rollout:
        return ()  # who is old is not known
    present = tuple(worker for worker in crew.recallable if worker.id not in crew.old)
    return present[: max(0, needed - len(crew.working))]


def _tasks_to_keep(crew: Crew, service: Service) -> int:
    """What desired must be at least, whoever set it lower.

    At most what runs: the registry shows a dead worker for a while, beside its replacement. Not in a rollout, where
    old and new stand side by side: each raise would start more new ones.
    """
    return 0 if service.is_rolling_out else min(crew.surely_staying, service.running)


def _why_no_scale_in(observation: Observation, fleet: Fleet, crew: Crew) -> str:
    if fleet.malformed:
        return f"no scale-in: {len(fleet.malformed)} malformed members"
    service = observation.service
    if isinstance(service, Service) and service.is_rolling_out and not crew.in_rollout:
        why = f" ({observation.tasks})" if observation.tasks else ""
        return f"no scale-in: a deployment is rolling out, and which workers are old is not known{why}"
    return ""


def _least_busy_beyond(needed: int, consuming: tuple[Worker, ...], *, but: tuple[Worker, ...]) -> tuple[Worker, ...]:
    """The consuming workers that are not needed. Those that only start are not counted on: they may take minutes."""
    leaving = {worker.id for worker in but}
    staying = [worker for worker in consuming if worker.id not in leaving]
    return tuple(staying[: max(0, len(staying) - needed)])


def _releasable(crew: Crew, spare: int) -> tuple[Worker, ...]:
    """Up to `spare` drained workers; none while a recalled one is unprotected still: ECS might choose that one.

    Nobody is recalled in this look, so enough workers work, and none of the drained ones is needed.
    """
    return () if _is_anybody_coming_back(crew) else crew.stoppable[: max(0, spare)]


def _is_anybody_coming_back(crew: Crew) -> bool:
    return any(worker.is_being_recalled for worker in crew.working)


def _surplus_since(memory: Memory, *, now: float) -> float:
    """Since when there is a surplus; never in the future, where a failover to a slower clock can put it."""
    return now if memory.surplus_since is None else min(memory.surplus_since, now)


def _to_be_told_again(crew: Crew, recall: tuple[Worker, ...]) -> tuple[str, ...]:
    """Workers that drain by an order that is lost or has expired."""
    recalled = {worker.id for worker in recall}
    return tuple(worker.id for worker in crew.recallable if worker.order is None and worker.id not in recalled)
