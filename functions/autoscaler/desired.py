"""Computes a pool's desired count: the one place where it rises or falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.boots import Boots, tasks_without_slot
from autoscaler.forecast import Expected
from autoscaler.observation import Fleet, Service, Worker
from autoscaler.policy import Policy, workers_needed
from autoscaler.racing import Budget, boots_needed, boots_raced, racers_to_launch
from autoscaler.retirement import (
    count_retiring,
    least_consuming,
    replacements_wanted,
    retired_drained,
    split_unneeded,
)
from autoscaler.workers import Workers, free_slots, to_consume
from fleet.registry import MEMBER_TTL_S

# ECS acts on a lower count within seconds, an idle worker ends within 10 s, the registry forgets it after its TTL.
STOPPING_HOLDS_S = MEMBER_TTL_S + 30.0


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the steps of one decision share.

    `queued`, `active`, `ended`: tasks that wait, that run, that ended in the last minute. `to_come`: tasks expected
    during a boot, because the demand grows. `budget`: of races. `now`: Redis's time in seconds since the epoch.
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
    to_come: int
    budget: Budget

    @property
    def needed(self) -> int:
        """Workers that the demand asks for."""
        return workers_needed(self.queued + self.active, self.policy)

    @property
    def booting(self) -> int:
        """Tasks that ECS was asked for and that have not reported yet."""
        return count_booting(self.workers, self.service)

    @property
    def without_slot(self) -> int:
        """Waiting tasks beyond the free slots of all available workers."""
        return max(0, self.queued - free_slots(self.workers.available))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pool wants before limits and obstacles apply.

    Orders: `recall`; `surplus`, consuming workers that are not needed; `replaced`, those that a rollout or a younger
    worker replaces.

    For the desired count: at least `wanted` workers and `protection_places`; when it falls, not below `minimum`. It may
    fall by `stoppable` drained workers, by `cancel` boots once the surplus is due, and by `cancel_at_once` boots that
    only a rollout asked for. `expected`: slots that the forecast adds. `racers`: boots among the wanted ones beyond the
    `needed` ones; both are launches of this tick.
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
    needed: int = 0
    racers: int = 0

    @property
    def surplus_count(self) -> int:
        """Consuming workers and boots beyond what is needed."""
        return len(self.surplus) + self.cancel

    def without_surplus(self) -> Plan:
        """Return the plan while the surplus is not due."""
        return replace(self, surplus=(), cancel=0)

    def without_scale_in(self) -> Plan:
        """Return the plan while something prevents scale-in."""
        return replace(self, surplus=(), replaced=(), stoppable=0, cancel=0, cancel_at_once=0)


@dataclass(frozen=True, kw_only=True)
class DesiredCount:
    """The desired count, the drained workers that stop by it, and how many boots it cancels."""

    desired: int
    stopped: tuple[Worker, ...]
    cancelled: int


def plan_by_backlog(situation: Situation) -> Plan:
    """Plan a pool without a rollout.

    If free slots anywhere cover the backlog, recall workers, the longest-running first; otherwise launch workers.
    """
    workers, service, policy = situation.workers, situation.service, situation.policy
    queued, expected, boots = situation.queued, situation.expected, situation.boots
    least = least_consuming(workers, policy, needed=situation.needed)
    consuming = to_consume(workers, policy, slots=queued, ahead=expected.open_slots, least=least)
    replaced, surplus = split_unneeded(workers, consuming)
    replacements = replacements_wanted(workers, needed=situation.needed)
    free = free_slots(workers.available)
    booting = situation.booting
    tasks = tasks_without_slot(queued=queued, free=free, ended=situation.ended)
    launch_slots, hold_slots = expected.launch_slots + situation.to_come, expected.hold_slots + situation.to_come
    ahead = math.ceil((queued + launch_slots - free) / policy.concurrency) if launch_slots else 0
    needed = max(boots_needed(tasks, policy), ahead)
    racers = _racers(situation, tasks, needed=needed, booting=max(0, booting - replacements))
    launches = max(0, needed + replacements - (booting - min(booting, situation.budget.racers)))
    lacking = math.ceil((queued + hold_slots - free) / policy.concurrency)
    coming = policy.concurrency * max(0, booting - replacements)
    spare = (free + coming - queued - hold_slots) // policy.concurrency
    unneeded = booting - max(max(lacking, needed) + replacements, boots.paid_for(now=situation.now))
    cancel = max(0, min(unneeded, service.desired - service.running))
    ceiling = policy.maximum + count_retiring(workers)
    most = max(ceiling, service.desired)
    wanted = max(policy.minimum, min(most, service.desired + launches + racers))
    # ECS might stop a worker that boots instead of the one that has drained, again and again.
    retired = 0 if booting else retired_drained(workers)
    # One that is launched and one that stops would leave the count as it is, and ECS would do neither.
    is_replacing = workers.retiring and wanted > service.desired
    return Plan(
        recall=tuple(worker for worker in workers.recallable if worker.id in consuming),
        surplus=surplus,
        replaced=replaced,
        wanted=wanted,
        minimum=policy.minimum,
        stoppable=0 if is_replacing else retired + max(0, spare - cancel, service.desired - ceiling),
        cancel=cancel,
        expected=expected.hold_slots,
        needed=launches,
        racers=racers,
    )


def _racers(situation: Situation, tasks: float, *, needed: int, booting: int) -> int:
    policy, budget = situation.policy, situation.budget
    if not policy.boots_per_task:
        return 0
    raced = boots_raced(tasks, policy, half_way=situation.boots.half_way(now=situation.now))
    return racers_to_launch(raced, needed=needed, booting=booting, budget=budget)


def count_booting(workers: Workers, service: Service) -> int:
    """Count the tasks that ECS was asked for and that have not reported yet."""
    return max(0, service.desired - len(workers.usable))


def compute_desired(situation: Situation, plan: Plan) -> DesiredCount:
    """Raise the desired count to what is planned, then lower it by what may stop or be cancelled."""
    desired = raise_desired(situation, plan)
    stopped = to_stop(situation, plan, desired=desired)
    desired -= len(stopped)
    cancelled = to_cancel(situation, plan, desired=desired)
    return DesiredCount(desired=desired - cancelled, stopped=stopped, cancelled=cancelled)


def raise_desired(situation: Situation, plan: Plan) -> int:
    """Return the desired count, or more: for wanted workers, for present ones, for protection in a rollout."""
    keep = _tasks_to_keep(situation)
    return max(situation.service.desired, limit_step(situation, plan), keep, plan.protection_places)


def limit_step(situation: Situation, plan: Plan) -> int:
    """Return the wanted workers, limited to `max_step_out` more than desired. The minimum is restored at once."""
    policy = situation.policy
    if policy.max_step_out is None:
        return plan.wanted
    return min(plan.wanted, max(policy.minimum, situation.service.desired + policy.max_step_out))


def _tasks_to_keep(situation: Situation) -> int:
    """Return the least count that covers the workers that are not drained, in case someone set it lower.

    It is at most what runs: the registry shows a dead worker for a while, beside its replacement. It is 0 in a rollout,
    where old and new workers stand side by side: each raise would start more new ones.
    """
    service = situation.service
    return 0 if service.is_rolling_out else min(situation.workers.not_drained, service.running)


def to_stop(situation: Situation, plan: Plan, *, desired: int) -> tuple[Worker, ...]:
    """Choose the drained workers by which `desired` falls, never below the tasks that may hold protection.

    Stop none while a recalled worker is still unprotected, or is about to be recalled: ECS might choose that one.
    """
    workers = situation.workers
    if workers.is_any_recalled or any(worker.may_be_stopped for worker in plan.recall):
        return ()
    return workers.stoppable[: max(0, min(plan.stoppable, desired - _floor(situation, plan)))]


def to_cancel(situation: Situation, plan: Plan, *, desired: int) -> int:
    """Count the boots by which `desired` falls too. Cancel none while a recalled worker is still unprotected."""
    if situation.workers.is_any_recalled:
        return 0
    return max(0, min(plan.cancel_at_once + plan.cancel, desired - _floor(situation, plan)))


def _floor(situation: Situation, plan: Plan) -> int:
    return max(plan.minimum, situation.workers.may_hold_protection(situation.service))


def still_stopping(stopping: Mapping[str, float], fleet: Fleet, *, now: float) -> dict[str, float]:
    """Drop the stopping workers that ECS must have spared by now, and those that were recalled nevertheless.

    A worker that is not shown stays: were it shown once more, the count would fall by it twice.
    """
    back = {worker.id for worker in fleet.workers if not worker.may_be_stopped}
    return {worker: at for worker, at in stopping.items() if worker not in back and 0 <= now - at < STOPPING_HOLDS_S}
