"""Says what a pool wants, and computes its desired count: the one place where it rises or falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.boots import Boots, boots_wanted, tasks_without_slot
from autoscaler.forecast import Expected
from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy, workers_needed
from autoscaler.workers import Workers, by_load, free_slots, to_consume
from fleet.registry import CONSUMING, MEMBER_TTL_S

# ECS acts on a lower desired within seconds, an idle worker ends within 10 s, the registry forgets it after its TTL.
STOPPING_HOLDS_S = MEMBER_TTL_S + 30.0


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the steps of one decision share.

    `queued`, `active`, `ended`: tasks that wait, that run, that ended in the last minute. `task_s`: seconds a task,
    None when not known. `expected`: slots that the forecast adds. `now`: Redis's time, in seconds.
    """

    now: float
    policy: Policy
    service: Service
    workers: Workers
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
    for desired: it should be at least `wanted` and `protection_places`, and never fall below `minimum`. Not needed are
    `stoppable` drained workers, `cancel` tasks that do not run yet, and up to `cancel_at_once` of what was asked for
    only for a rollout. `expected`: slots that the forecast adds.
    """

    recall: tuple[Worker, ...] = ()
    surplus: tuple[Worker, ...] = ()
    replaced: tuple[Worker, ...] = ()
    wanted: int
    protection_places: int = 0
    minimum: int
    stoppable: int = 0
    cancel: int = 0
    cancel_at_once: int = 0
    expected: int = 0

    @property
    def surplus_count(self) -> int:
        return len(self.surplus) + self.cancel

    def without_surplus(self) -> Plan:
        return replace(self, surplus=(), cancel=0)

    def without_scale_in(self) -> Plan:
        return replace(self, surplus=(), replaced=(), stoppable=0, cancel=0, cancel_at_once=0)


@dataclass(frozen=True, kw_only=True)
class DesiredCount:
    """`desired`, with the drained workers and the number of tasks that do not run yet by which it falls."""

    desired: int
    stopped: tuple[Worker, ...]
    cancelled: int


def plan_by_backlog(situation: Situation) -> Plan:
    """While no deployment rolls out. Free slots anywhere hold what waits: workers are recalled, the oldest first.
    They do not: workers are started.
    """
    workers, service, policy = situation.workers, situation.service, situation.policy
    queued, expected, boots = situation.queued, situation.expected, situation.boots
    consuming = to_consume(workers, policy, slots=queued, ahead=expected.open_slots)
    free = free_slots(workers.usable)
    booting = count_booting(workers, service)
    tasks = tasks_without_slot(queued=queued, free=free, ended=situation.ended)
    raced = boots_wanted(tasks, policy, task_s=situation.task_s)
    reactive = boots_wanted(tasks, policy, task_s=situation.task_s, half_way=boots.half_way(now=situation.now))
    ahead = math.ceil((queued + expected.launch_slots - free) / policy.concurrency) if expected.launch_slots else 0
    wanted = max(reactive, ahead)
    lacking = math.ceil((queued + expected.hold_slots - free) / policy.concurrency)
    spare = (free + policy.concurrency * booting - queued - expected.hold_slots) // policy.concurrency
    unneeded = booting - max(lacking, wanted, raced, boots.paid_for(now=situation.now))
    cancel = max(0, min(unneeded, service.desired - service.running))
    most = max(policy.maximum, service.desired)
    return Plan(
        recall=tuple(worker for worker in workers.recallable if worker.id in consuming),
        surplus=tuple(by_load(w for w in workers.serving if w.state == CONSUMING and w.id not in consuming)),
        wanted=max(policy.minimum, min(most, service.desired + max(0, wanted - booting))),
        minimum=policy.minimum,
        stoppable=max(0, spare - cancel, service.desired - policy.maximum),
        cancel=cancel,
        expected=expected.hold_slots,
    )


def count_booting(workers: Workers, service: Service) -> int:
    """Tasks that were asked for and have not reported yet."""
    return max(0, service.desired - len(workers.usable))


def compute_desired(situation: Situation, plan: Plan) -> DesiredCount:
    """What is wanted and granted, less what may be given up."""
    desired = raise_desired(situation, plan)
    stopped = to_stop(situation, plan, desired=desired)
    desired -= len(stopped)
    cancelled = to_cancel(situation, plan, desired=desired)
    return DesiredCount(desired=desired - cancelled, stopped=stopped, cancelled=cancelled)


def raise_desired(situation: Situation, plan: Plan) -> int:
    """Desired, or more: for what is wanted, for what is there already, for a rollout that needs room."""
    return max(
        situation.service.desired, limit_step(situation, plan), _tasks_to_keep(situation), plan.protection_places
    )


def limit_step(situation: Situation, plan: Plan) -> int:
    """What is wanted, or as much of it as one look may add. The minimum is no demand, and is restored at once."""
    policy = situation.policy
    if policy.max_step_out is None:
        return plan.wanted
    return min(plan.wanted, max(policy.minimum, situation.service.desired + policy.max_step_out))


def _tasks_to_keep(situation: Situation) -> int:
    """What desired must be at least, whoever set it lower.

    At most what runs: the registry shows a dead worker for a while, beside its replacement. Not in a rollout, where
    old and new stand side by side: each raise would start more new ones.
    """
    service = situation.service
    return 0 if service.is_rolling_out else min(situation.workers.not_drained, service.running)


def to_stop(situation: Situation, plan: Plan, *, desired: int) -> tuple[Worker, ...]:
    """The drained workers by which `desired` falls; it never falls below the tasks that may hold protection.

    None while a recalled worker is unprotected still, or about to be recalled: ECS might choose that one.
    """
    workers = situation.workers
    if workers.is_any_recalled or any(worker.may_be_stopped for worker in plan.recall):
        return ()
    return workers.stoppable[: max(0, min(plan.stoppable, desired - _floor(situation, plan)))]


def to_cancel(situation: Situation, plan: Plan, *, desired: int) -> int:
    """Tasks that have not begun to run, by which `desired` falls as well; none while somebody is coming back."""
    if situation.workers.is_any_recalled:
        return 0
    return max(0, min(plan.cancel_at_once + plan.cancel, desired - _floor(situation, plan)))


def _floor(situation: Situation, plan: Plan) -> int:
    return max(plan.minimum, situation.workers.may_hold_protection(situation.service))


def still_stopping(stopping: Mapping[str, float], fleet: Fleet, *, now: float) -> dict[str, float]:
    """The released workers but those that ECS must have spared by now, or that somebody recalled nevertheless.

    One that is not seen stays released: were it seen once more, it would be released twice.
    """
    back = {worker.id for worker in fleet.workers if not worker.may_be_stopped}
    return {worker: at for worker, at in stopping.items() if worker not in back and 0 <= now - at < STOPPING_HOLDS_S}
