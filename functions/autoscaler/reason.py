"""Explains a decision in words: what happens, why, and the figures behind it."""

from __future__ import annotations

from autoscaler.desired import DesiredCount, Plan, Situation, limit_step
from autoscaler.policy import Policy
from autoscaler.retirement import count_retiring
from fleet.member import CONSUMING
from fleet.registry import ASLEEP_REASON


def in_words(
    situation: Situation, plan: Plan, count: DesiredCount, *, surplus_s: float | None, obstacle: str, doubts: str
) -> str:
    """Join the clauses that apply, in this order, by semicolons.

    `surplus_s`: seconds for which a surplus that is not due yet has lasted, None without one. `obstacle`: what prevents
    scale-in, empty when nothing does. `doubts`: which records are not believed, empty if all are.
    """
    policy, desired = situation.policy, count.desired
    draining = len(plan.surplus) if surplus_s is None else 0
    is_limited = limit_step(situation, plan) < plan.wanted
    clauses = (
        _backlog(situation, plan, count),
        f"{_number(draining, 'worker')} stop{_s(draining)} taking new tasks" if draining else "",
        _fall(situation, count),
        _deployment(situation, plan),
        _retirement(situation, plan),
        _forecast(situation, plan),
        f"demand grows: {_number(situation.to_come, 'more task')} expected" if situation.to_come else "",
        f"launch at most {policy.max_step_out} per tick" if is_limited else "",
        _memory(policy),
        f"at the maximum of {policy.maximum}" if situation.without_slot and desired >= policy.maximum > 0 else "",
        f"surplus of {plan.surplus_count} for {surplus_s:.0f} s, scale-in after {policy.scale_in_after_s:.0f} s"
        if surplus_s is not None
        else "",
        obstacle,
        doubts,
        _figures(situation),
    )
    return "; ".join(filter(None, clauses))


def _backlog(situation: Situation, plan: Plan, count: DesiredCount) -> str:
    """Say whether the tasks have slots, and what is done about those that have none."""
    queued, active, without_slot = situation.queued, situation.active, situation.without_slot
    if situation.service.asleep:
        tasks = ASLEEP_REASON
    elif without_slot:
        tasks = f"{_number(without_slot, 'task')} wait{_s(without_slot)} for a slot"
    elif queued and plan.recall:
        tasks = f"{_number(queued, 'waiting task')} fit{_s(queued)} on draining workers"
    elif queued:
        tasks = f"{_number(queued, 'waiting task')} fit{_s(queued)} in free slots"
    elif active:
        tasks = f"All {active} tasks have a slot" if active > 1 else "The only task has a slot"
    else:
        tasks = "No tasks"
    actions = (f"recall {len(plan.recall)}" if plan.recall else "", _rise(situation, plan, count))
    return ": ".join(filter(None, (tasks, ", ".join(filter(None, actions)))))


def _rise(situation: Situation, plan: Plan, count: DesiredCount) -> str:
    before, after = situation.service.desired, count.desired
    change = f"desired {before} -> {after}"
    if after <= before:
        return ""
    if after <= limit_step(situation, plan):
        races = ", boots race" if plan.racers and after - before > plan.needed else ""
        return f"launch {_number(after - before, 'worker')} ({change}{races})"
    if after <= plan.protection_places:
        return f"{change} so that new workers get protection"
    return f"{change} to cover the workers that run"


def _fall(situation: Situation, count: DesiredCount) -> str:
    before, after = situation.service.desired, count.desired
    drained, boots = len(count.stopped), count.cancelled
    if after >= before:
        return ""
    parts = (_number(drained, "drained worker") if drained else "", _number(boots, "boot") if boots else "")
    verb = "is" if drained + boots == 1 else "are"
    return f"desired {before} -> {after}: {' and '.join(filter(None, parts))} {verb} no longer needed"


def _deployment(situation: Situation, plan: Plan) -> str:
    workers = situation.workers
    if not workers.is_rollout_known:
        return ""
    replaced = f", {len(plan.replaced)} told to drain" if plan.replaced else ""
    return f"deployment: {workers.new_usable} new, {workers.old_usable} old{replaced}"


def _retirement(situation: Situation, plan: Plan) -> str:
    retiring = count_retiring(situation.workers)
    if not retiring:
        return ""
    replaced = f", {len(plan.replaced)} told to drain" if plan.replaced else ""
    return f"{_number(retiring, 'worker')} retire{_s(retiring)}{replaced}"


def _forecast(situation: Situation, plan: Plan) -> str:
    if not plan.expected or situation.expected.first_at is None:
        return ""
    minute = int(situation.expected.first_at) // 60
    return f"forecast: {_number(plan.expected, 'slot')} from {minute // 60 % 24:02}:{minute % 60:02} UTC"


def _memory(policy: Policy) -> str:
    if policy.declared_slots is None:
        return ""
    return f"memory: workers take {policy.concurrency} of {policy.declared_slots} slots"


def _figures(situation: Situation) -> str:
    """Return the demand, what it needs, and the workers by state; states without a worker are left out."""
    workers = situation.workers
    consuming = sum(worker.is_consuming for worker in workers.serving)
    troubled = sum(worker.state == CONSUMING for worker in workers.serving) - consuming
    drained = len(workers.stoppable)
    counts = {
        "consuming": consuming,
        "taking no messages": troubled,
        "starting": len(workers.serving) - consuming - troubled,
        "draining": len(workers.recallable) - drained,
        "drained": drained,
        "stopping": len(workers.stopping),
        "booting": situation.booting,
    }
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"{situation.queued} queued + {situation.active} active need {situation.needed}: {states or 'no workers'}"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _s(number: int) -> str:
    """Return the ending of a verb in the present tense, after a subject of this number."""
    return "s" if number == 1 else ""
