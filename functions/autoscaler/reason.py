"""Says in words why a decision is what it is."""

from __future__ import annotations

from autoscaler.desired import DesiredCount, Plan, Situation, limit_step


def in_words(situation: Situation, plan: Plan, count: DesiredCount, *, surplus_s: float | None, obstacle: str) -> str:
    """`surplus_s` while a surplus has not lasted long enough. `obstacle`: what stands in the way of scale-in."""
    workers, service = situation.workers, situation.service
    drain = len(plan.surplus) if surplus_s is None else 0
    parts = (
        f"{situation.queued} queued + {situation.active} active need {situation.needed}: {len(workers.serving)} work, "
        f"{len(workers.recallable)} drain or drained, {len(workers.stopping)} released",
        f"rolling out: {workers.new_usable} new, {workers.old_usable} old stay" if workers.is_rollout_known else "",
        f"{plan.expected} expected" if plan.expected else "",
        f"recall {len(plan.recall)}" if plan.recall else "",
        f"replace {len(plan.replaced)}" if plan.replaced else "",
        f"drain {drain}" if drain else "",
        f"desired {service.desired} -> {count.desired}" if count.desired != service.desired else "",
        f"at most {situation.policy.max_step_out} more a look" if limit_step(situation, plan) < plan.wanted else "",
        f"{plan.surplus_count} too many for {surplus_s:.0f} s" if surplus_s is not None else "",
        obstacle,
    )
    return "; ".join(filter(None, parts))
