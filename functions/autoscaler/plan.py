"""Says what a pool wants while no deployment rolls out."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.boots import Boots
from autoscaler.crew import Crew, by_load
from autoscaler.forewarning import Expected
from autoscaler.launching import boots_wanted, rounded_up, tasks_without_slot
from autoscaler.observation import Service, Worker
from autoscaler.packing import free_slots, to_consume
from autoscaler.policy import Policy
from fleet.registry import CONSUMING


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is wanted, before a look's limits and what stands in the way of scale-in.

    `surplus`: consuming workers that are not needed; `replaced`: those that a rollout replaces. The others are counts
    for desired: it should be at least `workers`, and never fall below `least`. Not needed are `releasable` drained
    workers, `give_up` tasks that do not run yet, and up to `take_back` of what was asked for only for a rollout.
    `expected`: slots that the forecast adds.
    """

    recall: tuple[Worker, ...] = ()
    surplus: tuple[Worker, ...] = ()
    replaced: tuple[Worker, ...] = ()
    workers: int
    least: int
    releasable: int = 0
    give_up: int = 0
    take_back: int = 0
    expected: int = 0


def plan_as_usual(
    crew: Crew,
    service: Service,
    policy: Policy,
    *,
    queued: int,
    ended: int,
    expected: Expected,
    boots: Boots,
    task_s: float | None,
    now: float,
) -> Plan:
    """Free slots anywhere hold what waits: workers are recalled, the oldest first. They do not: workers are started.

    `ended`: tasks that have in the last minute, when some wait. `task_s`: seconds a task, None when not known.
    """
    free = free_slots(crew.here)
    booting = booting_of(crew, service)
    consuming = to_consume(
        crew,
        slots=queued,
        ahead=expected.to_free,
        minimum=policy.minimum,
        maximum=policy.maximum,
    )
    tasks = tasks_without_slot(queued=queued, free=free, ended=ended)
    raced = boots_wanted(tasks, policy, task_s=task_s)
    half_way = boots.half_way(now=now) if raced else 0
    reactive = boots_wanted(tasks, policy, task_s=task_s, half_way=half_way) if half_way else raced
    ahead = rounded_up((queued + expected.to_start_for - free) / policy.concurrency) if expected.to_start_for else 0
    wanted = max(reactive, ahead, 0)
    lacking = max(0, rounded_up((queued + expected.to_keep - free) / policy.concurrency))
    spare = max(0, (free + policy.concurrency * booting - queued - expected.to_keep) // policy.concurrency)
    unneeded = booting - max(lacking, wanted, raced, boots.paid_for(now=now))
    give_up = max(0, min(unneeded, service.desired - service.running))
    most = max(policy.maximum, service.desired)
    return Plan(
        recall=tuple([worker for worker in crew.recallable if worker.id in consuming]),
        surplus=tuple(by_load([w for w in crew.working if w.state == CONSUMING and w.id not in consuming])),
        workers=max(policy.minimum, min(most, service.desired + max(0, wanted - booting))),
        least=policy.minimum,
        releasable=max(0, spare - give_up, service.desired - policy.maximum),
        give_up=give_up,
        expected=expected.to_keep,
    )


def booting_of(crew: Crew, service: Service) -> int:
    """Tasks that were asked for and have not reported yet."""
    return max(0, service.desired - len(crew.here))
