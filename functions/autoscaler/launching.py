"""How many workers should be booting."""

from __future__ import annotations

from autoscaler.policy import Policy

# What ended in the last minute frees about as many slots during a boot; half of it is surely not hoped for in vain.
ENDS_COUNTED = 0.5
# ECS launches so many tasks of an account at once, and more only slowly: beyond it a race would hold others up.
LAUNCH_BURST = 100
# A small deficit may be raced by many boots, a large one by three times what it needs: beyond that, each task gains
# little from one more racer, and every loser costs a minute.
RACED_AT_MOST = 30
RACERS_A_NEEDED_BOOT = 3
# A loser costs its first minute. All of them together may cost so many times what the tasks themselves do that they
# would hurry: where tasks are short, a race would cost more than all else.
LOSER_COSTS_S = 60.0
WORTH = 3.0


def tasks_without_slot(*, queued: int, free: int, ended: int) -> float:
    """Tasks that wait for a boot: no slot is free for them anywhere, and none that others' ends will free during it."""
    without_slot = queued - free
    return max(0.0, without_slot - ENDS_COUNTED * ended) if without_slot > 0 else 0.0


def boots_wanted(tasks: float, policy: Policy, *, task_s: float | None = None, half_way: int = 0) -> int:
    """Workers that should be booting for so many `tasks` without a slot.

    ceil(tasks / concurrency) would do, but boots take 60 s or 110 s by chance: tasks x boots_per_task are started where
    that is more, whoever is ready first takes the tasks, and the last are given up. How many are worth it depends on
    `task_s`, the seconds that a task takes, when that is known. Tasks that the boots which are `half_way` will serve
    are not raced for: who starts now would come too late, and who loses is never seen to be ready, so that boots would
    seem shorter than they are, and workers for a foretold run would be late.
    """
    needed = rounded_up(tasks / policy.concurrency)
    unraced = min(needed, half_way)
    raced = unraced + rounded_up((tasks - policy.concurrency * unraced) * policy.boots_per_task)
    worth = needed + int(WORTH * tasks * task_s / (policy.concurrency * LOSER_COSTS_S)) if task_s is not None else raced
    return max(needed, min(raced, worth, max(RACED_AT_MOST, RACERS_A_NEEDED_BOOT * needed), LAUNCH_BURST))


def rounded_up(number: float) -> int:
    """The smallest whole number that is not less."""
    return -int(-number // 1)
