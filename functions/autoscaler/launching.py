"""How many workers should be booting."""

from __future__ import annotations

# What ended in the last minute frees about as many slots during a boot; half of it is surely not hoped for in vain.
ENDS_COUNTED = 0.5
# ECS launches so many tasks of an account at once, and more only slowly: beyond it a race would hold others up.
LAUNCH_BURST = 100
# A small deficit may be raced by many boots, a large one by three times what it needs: beyond that, each task gains
# little from one more racer, and every loser costs a minute.
RACED_AT_MOST = 30
RACERS_A_NEEDED_BOOT = 3


def boots_wanted(*, queued: int, free: int, ended: int, foretold: int, concurrency: int, boots_per_task: float) -> int:
    """Workers that should be booting, when more tasks wait than there are free slots anywhere; else 0.

    Of the tasks without a slot, those that others' ends will serve within a boot need none. For the rest
    ceil(tasks / concurrency) would do, but boots take 60 s or 110 s by chance: with `boots_per_task` more are started,
    whoever is ready first takes the tasks, and the last are given up. Not for as many tasks as are `foretold` for now:
    workers for them were started in time, and who loses a race is never seen to be ready, so that boots would seem
    shorter than they are, and the workers for the next run would be late.
    """
    without_slot = queued - free
    short = without_slot - ENDS_COUNTED * ended
    if without_slot <= 0 or short <= 0:
        return 0
    needed = rounded_up(short / concurrency)
    most = min(LAUNCH_BURST, max(RACED_AT_MOST, RACERS_A_NEEDED_BOOT * needed))
    return max(needed, min(most, rounded_up((short - foretold) * boots_per_task)))


def rounded_up(number: float) -> int:
    """The smallest whole number that is not less."""
    return -int(-number // 1)
