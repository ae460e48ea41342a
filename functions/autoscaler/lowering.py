"""Says how far desired falls: the one place where anything is given up."""

from __future__ import annotations

from autoscaler.crew import Crew
from autoscaler.observation import Service, Worker
from autoscaler.plan import Plan


def to_release(crew: Crew, service: Service, plan: Plan, *, desired: int) -> tuple[Worker, ...]:
    """The drained workers by which `desired` falls; it never falls below the tasks that may hold protection.

    None while a recalled worker is unprotected still, or about to be recalled: ECS might choose that one.
    """
    spare = min(plan.releasable, len(crew.stoppable), desired - _floor(crew, service, plan))
    if spare <= 0 or crew.is_anybody_coming_back or any(worker.may_be_stopped for worker in plan.recall):
        return ()
    return crew.stoppable[:spare]


def to_give_up(crew: Crew, service: Service, plan: Plan, *, desired: int, is_due: bool) -> int:
    """Tasks that have not begun to run, by which `desired` falls as well; none while somebody is coming back.

    Those that are not needed any more, once that `is_due`; those that a rollout asked for, at once.
    """
    unneeded = plan.take_back + (plan.give_up if is_due else 0)
    if not unneeded or crew.is_anybody_coming_back:
        return 0
    return max(0, min(unneeded, desired - _floor(crew, service, plan)))


def _floor(crew: Crew, service: Service, plan: Plan) -> int:
    return max(plan.least, crew.may_hold_protection(service))
