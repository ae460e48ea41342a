"""Says in words why a decision is what it is."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.crew import Crew
from autoscaler.observation import Service
from autoscaler.plan import Plan
from autoscaler.policy import Policy
from autoscaler.raising import at_most_a_step


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Workers that are told something, and desired. `too_many_for_s` while a surplus has not lasted long enough.

    `obstacle`: what stands in the way of scale-in, in words, or nothing.
    """

    desired: int
    recall: int
    replace: int
    drain: int
    too_many_for_s: float | None
    obstacle: str


def in_words(
    crew: Crew, service: Service, plan: Plan, policy: Policy, changes: Changes, *, queued: int, active: int, needed: int
) -> str:
    too_many = len(plan.surplus) + plan.give_up
    parts = (
        f"{queued} queued + {active} active need {needed}: {len(crew.working)} work, "
        f"{len(crew.recallable)} drain or drained, {len(crew.released)} released",
        f"rolling out: {crew.new_here} new, {crew.old_staying} old stay" if crew.in_rollout else "",
        f"{plan.expected} expected" if plan.expected else "",
        f"recall {changes.recall}" if changes.recall else "",
        f"replace {changes.replace}" if changes.replace else "",
        f"drain {changes.drain}" if changes.drain else "",
        f"desired {service.desired} -> {changes.desired}" if changes.desired != service.desired else "",
        f"at most {policy.max_step_out} more a look"
        if at_most_a_step(plan.workers, service, policy) < plan.workers
        else "",
        f"{too_many} too many for {changes.too_many_for_s:.0f} s" if changes.too_many_for_s is not None else "",
        changes.obstacle,
    )
    return "; ".join(filter(None, parts))
