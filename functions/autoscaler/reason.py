"""Says in words why a decision is what it is."""

from __future__ import annotations

from autoscaler.desired import Count, Plan, Situation, at_most_a_step


def in_words(situation: Situation, plan: Plan, count: Count, *, surplus_for_s: float | None, obstacle: str) -> str:
    """`surplus_for_s` while a surplus has not lasted long enough. `obstacle`: what stands in the way of scale-in."""
    crew, service = situation.crew, situation.service
    drain = len(plan.surplus) if surplus_for_s is None else 0
    parts = (
        f"{situation.queued} queued + {situation.active} active need {situation.needed}: {len(crew.working)} work, "
        f"{len(crew.recallable)} drain or drained, {len(crew.released)} released",
        f"rolling out: {crew.new_here} new, {crew.old_staying} old stay" if crew.in_rollout else "",
        f"{plan.expected} expected" if plan.expected else "",
        f"recall {len(plan.recall)}" if plan.recall else "",
        f"replace {len(plan.replaced)}" if plan.replaced else "",
        f"drain {drain}" if drain else "",
        f"desired {service.desired} -> {count.desired}" if count.desired != service.desired else "",
        f"at most {situation.policy.max_step_out} more a look"
        if at_most_a_step(situation, plan) < plan.workers
        else "",
        f"{plan.too_many} too many for {surplus_for_s:.0f} s" if surplus_for_s is not None else "",
        obstacle,
    )
    return "; ".join(filter(None, parts))
