"""Decides how many workers a pool should have, which drain, which are recalled.

Pure: the Lambda, the simulator and the tests call `decide`; time and limits are arguments.

Why nothing is killed. ECS stops only unprotected tasks when desired falls; a worker is protected from before its first
message until it is drained. Two rules keep it so:

- desired falls only by workers that are drained and by tasks that have not begun to run, and never below the number of
  tasks that may hold protection. Tasks that run but are not in the registry count as protected. (More protected tasks
  than desired would also make ECS refuse to renew protection.)
- a worker for which desired was lowered is *released*: not capacity, never recalled. When demand returns, desired is
  raised instead. ECS is free to stop another unprotected worker (drained or starting) in its place; that one runs
  nothing either, and a recall that loses this race is harmless: the worker asks for protection first, ECS refuses it,
  the worker stays unsubscribed. A released worker that is still here after STOPPING_HOLDS_S was not the one stopped,
  and is an ordinary drained worker again.

Two decisions at once, or one decided twice, hold as well: desired and orders are absolute, not steps. What counts
cannot show is a drained worker that crashed seconds ago beside a task that has not reported yet: desired may then be
one too low until the next look raises it, long before a protection expires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscaler.boots import Boots
from autoscaler.desired import DesiredCount, Situation, compute_desired, count_booting, plan_by_backlog, still_stopping
from autoscaler.estimates import DemandSample, add_sample, count_ended, oldest_wait_s, update_heads
from autoscaler.forecast import expected_slots
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable, Worker
from autoscaler.policy import Policy
from autoscaler.reason import in_words
from autoscaler.rollout import plan_rollout
from autoscaler.workers import Workers, sort_workers


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
    """As few workers consume as have free slots for what waits, and the others drain, see `desired`.

    More waits than is free anywhere: desired rises. What is not needed any more is given up once it has not been for
    `scale_in_after_s`. In a rollout old workers drain as new ones consume, see `rollout`. An input that
    could not be read keeps the size; a malformed member, or a rollout whose workers cannot be told apart, prevents
    scale-in only. Without a forecast the decision follows what waits and runs alone. A pool that sleeps has all of its
    workers drain, starts none and follows no forecast.
    """
    memory = _with_heads(memory, observation)
    queued, fleet, service = observation.queued, observation.fleet, observation.service
    if isinstance(service, Service) and service.asleep:
        observation, policy = replace(observation, forecast=None), policy.asleep
    if isinstance(service, Service) and service.paused:
        return _pause(observation, memory, service=service)
    if isinstance(queued, Unreadable) or isinstance(fleet, Unreadable) or isinstance(service, Unreadable):
        return _hold(observation, memory)
    return _decide(observation, policy, memory, queued=sum(queued.values()), fleet=fleet, service=service)


def _decide(
    observation: Observation, policy: Policy, memory: Memory, *, queued: int, fleet: Fleet, service: Service
) -> Decision:
    now = observation.now
    stopping = still_stopping(memory.stopping, fleet, now=now)
    workers = sort_workers(fleet, service, stopping)
    demand = queued + fleet.active
    memory = replace(
        memory,
        stopping=stopping,
        samples=add_sample(memory.samples, DemandSample(at=now, demand=demand)),
        boots=_boots(memory, workers, service, now=now),
        pace=memory.pace.observe(demand=demand, active=fleet.active, now=now),
    )
    situation = Situation(
        now=now,
        policy=policy,
        service=service,
        workers=workers,
        queued=queued,
        active=fleet.active,
        ended=count_ended(memory.samples),
        expected=expected_slots(observation.forecast, memory.boots, now=now),
        boots=memory.boots,
        task_s=memory.pace.task_s,
    )
    plan = plan_rollout(situation) if service.is_rolling_out else plan_by_backlog(situation)
    obstacle = _why_no_scale_in(observation, fleet, workers)
    if obstacle:
        plan = plan.without_scale_in()
    since = _surplus_since(memory, now=now) if plan.surplus_count else None
    is_due = since is None or now - since >= policy.scale_in_after_s
    due = plan if is_due else plan.without_surplus()
    count = compute_desired(situation, due)
    return Decision(
        desired=count.desired,
        drain=tuple(worker.id for worker in (*due.replaced, *due.surplus)) + _to_be_told_again(workers, plan.recall),
        recall=tuple(worker.id for worker in plan.recall),
        reason=in_words(
            situation,
            plan,
            count,
            surplus_s=None if since is None or is_due else now - since,
            obstacle=obstacle,
        ),
        memory=replace(
            memory,
            surplus_since=since,
            stopping={**stopping, **{worker.id: now for worker in count.stopped}},
            boots=_boots_after(count, situation),
        ),
        needed=situation.needed,
        oldest_wait_s=_oldest_wait_s(observation, memory),
    )


def _boots(memory: Memory, workers: Workers, service: Service, *, now: float) -> Boots:
    """In a rollout no boot is followed: old and new tasks count alike for desired."""
    if service.is_rolling_out:
        return Boots(took_s=memory.boots.took_s)
    return memory.boots.observe(count_booting(workers, service), now=now)


def _boots_after(count: DesiredCount, situation: Situation) -> Boots:
    if situation.service.is_rolling_out:
        return situation.boots
    booting = max(0, count.desired - (len(situation.workers.usable) - len(count.stopped)))
    return situation.boots.cancel(count.cancelled).observe(booting, now=situation.now)


def _with_heads(memory: Memory, observation: Observation) -> Memory:
    """With what is remembered of the lists' heads by now: also when nothing else is decided."""
    if not _is_timed(observation):
        return memory
    return replace(memory, heads=update_heads(observation.heads, memory.heads, now=observation.now))


def _oldest_wait_s(observation: Observation, memory: Memory) -> float | None:
    return oldest_wait_s(memory.heads, now=observation.now) if _is_timed(observation) else None


def _is_timed(observation: Observation) -> bool:
    """Without the registry's answer the time is not Redis's, so nothing is measured."""
    return not isinstance(observation.queued, Unreadable) and not isinstance(observation.fleet, Unreadable)


def _pause(observation: Observation, memory: Memory, *, service: Service) -> Decision:
    """Nothing changes, whatever is read or not."""
    return Decision(
        desired=service.desired,
        reason="paused by a tag on the service: no change of size, no orders",
        memory=replace(memory, surplus_since=None),
        oldest_wait_s=_oldest_wait_s(observation, memory),
    )


def _hold(observation: Observation, memory: Memory) -> Decision:
    """The present size. A surplus must be seen without a gap, so its time starts again."""
    service = observation.service
    return Decision(
        desired=None if isinstance(service, Unreadable) else service.desired,
        reason="size kept, unreadable: " + "; ".join(str(part) for part in observation.unreadable),
        memory=replace(memory, surplus_since=None),
        oldest_wait_s=_oldest_wait_s(observation, memory),
    )


def _why_no_scale_in(observation: Observation, fleet: Fleet, workers: Workers) -> str:
    if fleet.malformed:
        return f"no scale-in: {len(fleet.malformed)} malformed members"
    service = observation.service
    if isinstance(service, Service) and service.is_rolling_out and not workers.is_rollout_known:
        why = f" ({observation.tasks})" if observation.tasks else ""
        return f"no scale-in: a deployment is rolling out, and which workers are old is not known{why}"
    return ""


def _surplus_since(memory: Memory, *, now: float) -> float:
    """Since when there is a surplus; never in the future, where a failover to a slower clock can put it."""
    return now if memory.surplus_since is None else min(memory.surplus_since, now)


def _to_be_told_again(workers: Workers, recall: tuple[Worker, ...]) -> tuple[str, ...]:
    """Workers that drain by an order that is lost or has expired."""
    return tuple(worker.id for worker in workers.recallable if worker.order is None and worker not in recall)
