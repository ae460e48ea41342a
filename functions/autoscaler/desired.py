"""Says what a pool wants, and computes its desired count: the one place where it rises or falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.boots import Boots, boots_wanted, tasks_without_slot
from autoscaler.forecast import Expected
from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy, workers_needed
from autoscaler.workers import Crew, by_load, free_slots, to_consume
from fleet.registry import CONSUMING, MEMBER_TTL_S

# ECS acts on a lower desired within seconds, an idle worker ends within 10 s, the registry forgets it after its TTL.
RELEASE_HOLDS_S = MEMBER_TTL_S + 30.0


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the steps of one decision share.

    `queued`, `active`, `ended`: tasks that wait, that run, that ended in the last minute. `task_s`: seconds a task,
    None when not known. `expected`: slots that the forecast adds. `now`: Redis's time, in seconds.
    """

    now: float
    policy: Policy
    service: Service
    crew: Crew
    queued: int
    active: int
    ended: int
    expected: Expected
    boots: Boots
    task_s: float | None

    @property
    def needed(self) -> int:
        return workers_needed(self.queued + self.active, self.policy)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is wanted, before a look's limits and what stands in the way of scale-in.

    `surplus`: consuming workers that are not needed; `replaced`: those that a rollout replaces. The others are counts
    for desired: it should be at least `workers`, be `granted` in any case, and never fall below `least`. Not needed are
    `releasable` drained workers, `give_up` tasks that do not run yet, and up to `take_back` of what was asked for only
    for a rollout. `expected`: slots that the forecast adds.
    """

    recall: tuple[Worker, ...] = ()
    surplus: tuple[Worker, ...] = ()
    replaced: tuple[Worker, ...] = ()
    workers: int
    granted: int = 0
    least: int
    releasable: int = 0
    give_up: int = 0
    take_back: int = 0
    expected: int = 0

    @property
    def too_many(self) -> int:
        return len(self.surplus) + self.give_up

    def without_surplus(self) -> Plan:
        return replace(self, surplus=(), give_up=0)

    def without_scale_in(self) -> Plan:
        return replace(self, surplus=(), replaced=(), releasable=0, give_up=0, take_back=0)


@dataclass(frozen=True, kw_only=True)
class Count:
    """`desired`, with the drained workers and the number of tasks that do not run yet by which it falls."""

    desired: int
    released: tuple[Worker, ...]
    given_up: int


def plan_as_usual(situation: Situation) -> Plan:
    """While no deployment rolls out. Free slots anywhere hold what waits: workers are recalled, the oldest first.
    They do not: workers are started.
    """
    crew, service, policy = situation.crew, situation.service, situation.policy
    queued, expected, boots = situation.queued, situation.expected, situation.boots
    consuming = to_consume(crew, slots=queued, ahead=expected.to_free, minimum=policy.minimum, maximum=policy.maximum)
    free = free_slots(crew.here)
    booting = booting_of(crew, service)
    tasks = tasks_without_slot(queued=queued, free=free, ended=situation.ended)
    raced = boots_wanted(tasks, policy, task_s=situation.task_s)
    reactive = boots_wanted(tasks, policy, task_s=situation.task_s, half_way=boots.half_way(now=situation.now))
    ahead = math.ceil((queued + expected.to_start_for - free) / policy.concurrency) if expected.to_start_for else 0
    wanted = max(reactive, ahead)
    lacking = math.ceil((queued + expected.to_keep - free) / policy.concurrency)
    spare = (free + policy.concurrency * booting - queued - expected.to_keep) // policy.concurrency
    unneeded = booting - max(lacking, wanted, raced, boots.paid_for(now=situation.now))
    give_up = max(0, min(unneeded, service.desired - service.running))
    most = max(policy.maximum, service.desired)
    return Plan(
        recall=tuple(worker for worker in crew.recallable if worker.id in consuming),
        surplus=tuple(by_load(w for w in crew.working if w.state == CONSUMING and w.id not in consuming)),
        workers=max(policy.minimum, min(most, service.desired + max(0, wanted - booting))),
        least=policy.minimum,
        releasable=max(0, spare - give_up, service.desired - policy.maximum),
        give_up=give_up,
        expected=expected.to_keep,
    )


def booting_of(crew: Crew, service: Service) -> int:
    """Tasks that were asked for and have not reported yet."""
    return max(0, service.desired - len(crew.here))


def count_desired(situation: Situation, plan: Plan) -> Count:
    """What is wanted and granted, less what may be given up."""
    desired = raised(situation, plan)
    released = to_release(situation, plan, desired=desired)
    desired -= len(released)
    given_up = to_give_up(situation, plan, desired=desired)
    return Count(desired=desired - given_up, released=released, given_up=given_up)


def raised(situation: Situation, plan: Plan) -> int:
    """Desired, or more: for what is wanted, for what is there already, for a rollout that needs room."""
    return max(situation.service.desired, at_most_a_step(situation, plan), _tasks_to_keep(situation), plan.granted)


def at_most_a_step(situation: Situation, plan: Plan) -> int:
    """What is wanted, or as much of it as one look may add. The minimum is no demand, and is restored at once."""
    policy = situation.policy
    if policy.max_step_out is None:
        return plan.workers
    return min(plan.workers, max(policy.minimum, situation.service.desired + policy.max_step_out))


def _tasks_to_keep(situation: Situation) -> int:
    """What desired must be at least, whoever set it lower.

    At most what runs: the registry shows a dead worker for a while, beside its replacement. Not in a rollout, where
    old and new stand side by side: each raise would start more new ones.
    """
    service = situation.service
    return 0 if service.is_rolling_out else min(situation.crew.surely_staying, service.running)


def to_release(situation: Situation, plan: Plan, *, desired: int) -> tuple[Worker, ...]:
    """The drained workers by which `desired` falls; it never falls below the tasks that may hold protection.

    None while a recalled worker is unprotected still, or about to be recalled: ECS might choose that one.
    """
    crew = situation.crew
    if crew.is_anybody_coming_back or any(worker.may_be_stopped for worker in plan.recall):
        return ()
    return crew.stoppable[: max(0, min(plan.releasable, desired - _floor(situation, plan)))]


def to_give_up(situation: Situation, plan: Plan, *, desired: int) -> int:
    """Tasks that have not begun to run, by which `desired` falls as well; none while somebody is coming back."""
    if situation.crew.is_anybody_coming_back:
        return 0
    return max(0, min(plan.take_back + plan.give_up, desired - _floor(situation, plan)))


def _floor(situation: Situation, plan: Plan) -> int:
    return max(plan.least, situation.crew.may_hold_protection(situation.service))


def still_released(released: Mapping[str, float], fleet: Fleet, *, now: float) -> dict[str, float]:
    """The released workers but those that ECS must have spared by now, or that somebody recalled nevertheless.

    One that is not seen stays released: were it seen once more, it would be released twice.
    """
    back = {worker.id for worker in fleet.workers if not worker.may_be_stopped}
    return {worker: at for worker, at in released.items() if worker not in back and 0 <= now - at < RELEASE_HOLDS_S}
