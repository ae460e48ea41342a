"""Decides how many workers a pool should have, which of them drain and which are recalled.

`decide` is pure: the Lambda, the simulator and the tests call it with time and limits as arguments.

Why no task is killed: ECS stops only unprotected tasks when the desired count falls, and a worker is protected from
before its first message until it is drained. Two rules keep it so:

- The desired count falls only by drained workers and by tasks that have not begun to run, and never below the number of
  tasks that may hold protection. Tasks that run but are not in the registry count as protected. (If more tasks were
  protected than desired, ECS would also refuse to renew protection.)
- A drained worker for which the desired count was lowered is *stopping*: it is no capacity and is never recalled. When
  demand returns, the desired count rises instead. ECS may stop another unprotected worker (drained or starting) in its
  place. That one runs no task either, and if it is being recalled, no harm is done: it asks for protection first, ECS
  refuses, and it stays unsubscribed. A stopping worker that is still there after STOPPING_HOLDS_S was not the one that
  ECS stopped, and is an ordinary drained worker again.

Two decisions at once, or the same decision twice, are safe too: counts and orders are absolute, not steps. One case
stays hidden from counts: a drained worker that crashed seconds ago beside a task that has not reported yet. The desired
count may then be one too low until the next tick raises it, long before a protection expires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscaler.boots import Boots, tasks_to_come
from autoscaler.desired import (
    DesiredCount,
    Plan,
    Situation,
    compute_desired,
    count_booting,
    plan_by_backlog,
    still_stopping,
)
from autoscaler.estimates import DemandSample, add_sample, count_ended, oldest_wait_s, update_heads
from autoscaler.forecast import expected_slots
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable, Worker
from autoscaler.policy import Policy
from autoscaler.racing import LAUNCH_BURST, Budget
from autoscaler.reason import in_words
from autoscaler.retirement import retiring
from autoscaler.rollout import plan_rollout
from autoscaler.workers import Workers, sort_workers


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do about a pool, why, and what to remember.

    `desired`: None when the service could not be read; leave it alone then. `drain`, `recall`: ids of workers. `needed`
    and `oldest_wait_s`: None when unknown.
    """

    desired: int | None
    drain: tuple[str, ...] = ()
    recall: tuple[str, ...] = ()
    reason: str
    memory: Memory
    needed: int | None = None
    oldest_wait_s: float | None = None


def decide(observation: Observation, policy: Policy, memory: Memory) -> Decision:
    """Decide about one pool at one tick.

    - Use the fewest workers whose free slots cover the backlog; the others drain. Launch workers only when the backlog
      exceeds all free slots. Stop what is not needed once it has not been needed for `scale_in_after_s`. See `desired`.
    - In a rollout, old workers drain as new ones consume. See `rollout`.
    - Workers that AWS would stop soon drain as younger ones consume. See `retirement`.
    - An input that could not be read keeps the size. A malformed member whose ECS task runs, ECS's silence about tasks,
      or a rollout whose workers cannot be told apart prevents scale-in only. Without a forecast the decision follows
      the demand alone. Records without a running ECS task change nothing.
    - Workers whose memory does not allow for all of their slots count with those that they use.
    - In a pool that is asleep all workers drain, none is launched and no forecast is followed.
    """
    memory = _with_heads(memory, observation)
    queued, fleet, service = observation.queued, observation.fleet, observation.service
    if isinstance(service, Service) and service.asleep:
        observation, policy = replace(observation, forecast=None), policy.asleep
    if isinstance(service, Service) and service.paused:
        reason = "The service is paused by a tag: no change of size, no orders"
        return _keep_size(observation, memory, reason=reason)
    if isinstance(queued, Unreadable) or isinstance(fleet, Unreadable) or isinstance(service, Unreadable):
        reason = "Size kept, unreadable: " + "; ".join(str(part) for part in observation.unreadable)
        return _keep_size(observation, memory, reason=reason)
    policy = policy.with_share(fleet.share_in_use)
    memory = replace(memory, stopping=still_stopping(memory.stopping, fleet, now=observation.now))
    workers = sort_workers(
        fleet, service, memory.stopping, retiring=retiring(fleet, service, policy, now=observation.now)
    )
    demand = sum(queued.values()) + fleet.active
    memory = _learn(observation, memory, policy, demand=demand, service=service, workers=workers)
    expected = expected_slots(observation.forecast, memory.boots, memory.samples, now=observation.now)
    situation = Situation(
        now=observation.now,
        policy=policy,
        service=service,
        workers=workers,
        queued=sum(queued.values()),
        active=fleet.active,
        ended=count_ended(memory.samples),
        expected=expected,
        boots=memory.boots,
        to_come=0 if service.asleep else tasks_to_come(grown=expected.grown, concurrency=policy.concurrency),
        budget=memory.racing,
    )
    return _decide(situation, memory, observation, obstacle=_obstacle(observation, fleet, workers))


def _learn(
    observation: Observation, memory: Memory, policy: Policy, *, demand: int, service: Service, workers: Workers
) -> Memory:
    """Update the memory with what this tick shows. Follow no boots in a rollout: old and new tasks count alike."""
    now, booting = observation.now, count_booting(workers, service)
    boots = Boots(took_s=memory.boots.took_s) if service.is_rolling_out else memory.boots.observe(booting, now=now)
    return replace(
        memory,
        samples=add_sample(memory.samples, DemandSample(at=now, demand=demand)),
        boots=boots,
        racing=_earn(memory.racing, policy, workers=len(workers.usable), booting=booting, now=now),
    )


def _earn(budget: Budget, policy: Policy, *, workers: int, booting: int, now: float) -> Budget:
    """Return the budget of races at this tick. Where no boots race, nothing is remembered."""
    if not policy.boots_per_task:
        return Budget()
    earned = budget.earn(workers, share=policy.racing_budget, now=now)
    return replace(earned, racers=min(earned.racers, booting))


def _decide(situation: Situation, memory: Memory, observation: Observation, *, obstacle: str) -> Decision:
    now, workers, service = situation.now, situation.workers, situation.service
    plan = plan_rollout(situation) if service.is_rolling_out else plan_by_backlog(situation)
    if obstacle:
        plan = plan.without_scale_in()
    since = _surplus_since(memory, now=now) if plan.surplus_count else None
    is_due = since is None or now - since >= situation.policy.scale_in_after_s
    due = plan if is_due else plan.without_surplus()
    count = compute_desired(situation, due)
    return Decision(
        desired=count.desired,
        drain=tuple(worker.id for worker in (*due.replaced, *due.surplus)) + _without_order(workers, plan.recall),
        recall=tuple(worker.id for worker in plan.recall),
        reason=in_words(
            situation,
            plan,
            count,
            surplus_s=None if since is None or is_due else now - since,
            obstacle=obstacle,
            doubts=_doubts(observation),
        ),
        memory=replace(
            memory,
            surplus_since=since,
            stopping={**memory.stopping, **{worker.id: now for worker in count.stopped}},
            boots=_boots_after(count, situation),
            racing=_budget_after(plan, count, situation),
        ),
        needed=situation.needed,
        oldest_wait_s=_oldest_wait_s(observation, memory),
    )


def _boots_after(count: DesiredCount, situation: Situation) -> Boots:
    if situation.service.is_rolling_out:
        return situation.boots
    booting = _booting_after(count, situation)
    return situation.boots.cancel(count.cancelled).observe(booting, now=situation.now)


def _booting_after(count: DesiredCount, situation: Situation) -> int:
    return max(0, count.desired - (len(situation.workers.usable) - len(count.stopped)))


def _budget_after(plan: Plan, count: DesiredCount, situation: Situation) -> Budget:
    """Return the budget after this tick's launches and cancellations. A rollout ends all races."""
    budget, now = situation.budget, situation.now
    if situation.service.is_rolling_out:
        return replace(budget, racers=0, most=LAUNCH_BURST)
    launched = count.desired - situation.service.desired
    racers = min(plan.racers, max(0, launched - plan.needed))
    age_s = situation.boots.oldest_s(now=now)
    return budget.launch(racers).settle(
        cancelled=count.cancelled, age_s=age_s, booting=_booting_after(count, situation)
    )


def _with_heads(memory: Memory, observation: Observation) -> Memory:
    """Update the remembered heads of the lists, also when nothing else is decided."""
    if not _is_timed(observation):
        return memory
    return replace(memory, heads=update_heads(observation.heads, memory.heads, now=observation.now))


def _oldest_wait_s(observation: Observation, memory: Memory) -> float | None:
    return oldest_wait_s(memory.heads, now=observation.now) if _is_timed(observation) else None


def _is_timed(observation: Observation) -> bool:
    """Return whether the time is Redis's. Without the registry's reply it is not, and nothing is measured."""
    return not isinstance(observation.queued, Unreadable) and not isinstance(observation.fleet, Unreadable)


def _keep_size(observation: Observation, memory: Memory, *, reason: str) -> Decision:
    """Keep the size and give no orders. A surplus must be seen without a gap, so its time starts again."""
    service = observation.service
    return Decision(
        desired=None if isinstance(service, Unreadable) else service.desired,
        reason=reason,
        memory=replace(memory, surplus_since=None),
        oldest_wait_s=_oldest_wait_s(observation, memory),
    )


def _obstacle(observation: Observation, fleet: Fleet, workers: Workers) -> str:
    """Return in words what prevents scale-in, or nothing."""
    if fleet.malformed:
        is_one = len(fleet.malformed) == 1
        return f"no scale-in: {len(fleet.malformed)} registry record{' is' if is_one else 's are'} malformed"
    service = observation.service
    if isinstance(service, Service) and service.is_rolling_out and not workers.is_rollout_known:
        why = f" ({observation.tasks})" if observation.tasks else ""
        return f"no scale-in: a deployment is rolling out, and it is unknown which workers are old{why}"
    if observation.tasks:
        return f"no scale-in: ECS did not say which tasks run ({observation.tasks})"
    return ""


def _doubts(observation: Observation) -> str:
    """Return in words which records are not believed, or nothing."""
    fleet = observation.fleet
    if not isinstance(fleet, Fleet):
        return ""
    ignored, limited = len(fleet.ignored), len(fleet.limited)
    parts = []
    if ignored:
        parts.append(
            f"{ignored} registry record{' is' if ignored == 1 else 's are'} ignored: no running ECS task of the pool"
        )
    if limited:
        parts.append(f"{limited} record{' claims' if limited == 1 else 's claim'} more than a worker can have")
    return "; ".join(parts)


def _surplus_since(memory: Memory, *, now: float) -> float:
    """Return since when there is a surplus: never in the future, where a failover to a slower clock can put it."""
    return now if memory.surplus_since is None else min(memory.surplus_since, now)


def _without_order(workers: Workers, recall: tuple[Worker, ...]) -> tuple[str, ...]:
    """Return the draining workers whose order is lost or has expired: they are told again."""
    return tuple(worker.id for worker in workers.recallable if worker.order is None and worker not in recall)
