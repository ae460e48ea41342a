"""Follows the boots under way, learns how long a boot takes, and says how many workers should boot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.policy import Policy

# Fargate bills a minute at least, so giving a boot up earlier saves nothing; the next look would be too late.
CANCEL_AFTER_S = 55.0
# Until a fleet has shown how long its boots take. Measured: 40-90 s from the image's pull to a ready worker.
DEFAULT_BOOT_S = 90.0
MIN_BOOTS = 5
MAX_REMEMBERED = 50
# Measured: with more, workers idle for longer than tasks wait less; who comes late is waited for by a few tasks only.
LEARNED_QUANTILE = 0.7
# Between a worker's first report and its first message: it takes protection, and a look comes a little late.
READY_AFTER_S = 10.0
# What takes longer is no boot: there was no capacity, or somebody set the count by hand.
LONGEST_BOOT_S = 600.0
MAX_LAUNCHES = 64  # with no capacity for hours, launches would pile up in the memory

# What ended in the last minute frees about as many slots during a boot; half of it is surely not hoped for in vain.
SHARE_OF_ENDS = 0.5
# ECS launches so many tasks of an account at once, and more only slowly: beyond it a race would hold others up.
LAUNCH_BURST = 100
# A small deficit may be raced by many boots, a large one by three times what it needs: beyond that, each task gains
# little from one more racer, and every loser costs a minute.
MAX_RACED = 30
RACERS_A_NEEDED_BOOT = 3
# A loser costs its first minute. All of them together may cost so many times what the tasks themselves do that they
# would hurry: where tasks are short, a race would cost more than all else.
LOSER_COST_S = 60.0
MAX_COST_RATIO = 3.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """`tasks` that were asked for at the time `at` (Redis's), and have not reported yet."""

    at: float
    tasks: int


@dataclass(frozen=True, kw_only=True)
class Boots:
    """`launches` under way, the oldest first; `took_s`: the seconds that the last boots took, the newest last."""

    launches: tuple[Launch, ...] = ()
    took_s: tuple[float, ...] = ()

    def observe(self, booting: int, *, now: float) -> Boots:
        """Now that `booting` tasks have been asked for and have not reported.

        Which boot has ended, nothing says: the oldest is taken. What nobody here has asked for (a replacement of
        ECS's, a count set by hand) was launched now.
        """
        launches = _before(self.launches, now=now)
        ended = sum(launch.tasks for launch in launches) - booting
        if ended < 0:
            return Boots(launches=_merge_oldest((*launches, Launch(at=now, tasks=-ended))), took_s=self.took_s)
        left, gone = _split(launches, ended)
        took = [now - launch.at for launch in gone for _ in range(launch.tasks) if now - launch.at < LONGEST_BOOT_S]
        return Boots(launches=left, took_s=(*self.took_s, *took)[-MAX_REMEMBERED:])

    def cancel(self, tasks: int) -> Boots:
        """After `tasks` of them were given up."""
        left, _ = _split(self.launches, tasks)
        return Boots(launches=left, took_s=self.took_s)

    def paid_for(self, *, now: float) -> int:
        """Those in their first minute, which is billed whatever becomes of them."""
        return sum(launch.tasks for launch in self.launches if now - launch.at < CANCEL_AFTER_S)

    def half_way(self, *, now: float) -> int:
        """Those that have taken half of a boot's time: of one that is launched now, few would be ready before them."""
        half_s = self.takes_s / 2
        return sum(launch.tasks for launch in self.launches if now - launch.at >= half_s)

    @property
    def takes_s(self) -> float:
        """So long takes a boot at most, seven times in ten."""
        if len(self.took_s) < MIN_BOOTS:
            return DEFAULT_BOOT_S
        return sorted(self.took_s)[math.ceil(LEARNED_QUANTILE * len(self.took_s)) - 1]

    @property
    def lead_s(self) -> float:
        """So long before it is to take tasks, a worker must be launched."""
        return self.takes_s + READY_AFTER_S


def _split(launches: Sequence[Launch], tasks: int) -> tuple[tuple[Launch, ...], tuple[Launch, ...]]:
    """Without the oldest `tasks`, and those."""
    left, gone = [], []
    for launch in launches:
        of_this = min(tasks, launch.tasks)
        tasks -= of_this
        if of_this:
            gone.append(Launch(at=launch.at, tasks=of_this))
        if of_this < launch.tasks:
            left.append(Launch(at=launch.at, tasks=launch.tasks - of_this))
    return tuple(left), tuple(gone)


def _before(launches: tuple[Launch, ...], *, now: float) -> tuple[Launch, ...]:
    """Without those of this very moment: a look that was made twice has not asked for them yet. A failover to a slower
    clock puts some in the future.
    """
    return tuple(launch for launch in launches if launch.at < now)


def _merge_oldest(launches: tuple[Launch, ...]) -> tuple[Launch, ...]:
    """The two oldest become one when there are too many."""
    if len(launches) <= MAX_LAUNCHES:
        return launches
    first, second, *others = launches
    return (Launch(at=first.at, tasks=first.tasks + second.tasks), *others)


def tasks_without_slot(*, queued: int, free: int, ended: int) -> float:
    """Tasks that wait for a boot: no slot is free for them anywhere, and none that others' ends will free during it."""
    return max(0.0, queued - free - SHARE_OF_ENDS * ended)


def boots_wanted(tasks: float, policy: Policy, *, task_s: float | None = None, half_way: int = 0) -> int:
    """Workers that should be booting for so many `tasks` without a slot.

    ceil(tasks / concurrency) would do, but boots take 60 s or 110 s by chance: tasks x boots_per_task are started where
    that is more, whoever is ready first takes the tasks, and the last are given up. How many are worth it depends on
    `task_s`, the seconds that a task takes, when that is known. Tasks that the boots which are `half_way` will serve
    are not raced for: who starts now would come too late, and who loses is never seen to be ready, so that boots would
    seem shorter than they are, and workers for a foretold run would be late.
    """
    needed = math.ceil(tasks / policy.concurrency)
    unraced = min(needed, half_way)
    raced = unraced + math.ceil((tasks - policy.concurrency * unraced) * policy.boots_per_task)
    worth = (
        needed + int(MAX_COST_RATIO * tasks * task_s / (policy.concurrency * LOSER_COST_S))
        if task_s is not None
        else raced
    )
    return max(needed, min(raced, worth, max(MAX_RACED, RACERS_A_NEEDED_BOOT * needed), LAUNCH_BURST))
