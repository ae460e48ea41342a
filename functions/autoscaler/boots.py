"""Follows the boots under way, learns how long a boot takes, and counts the tasks that wait for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Fargate bills a minute at least, so cancelling a boot earlier saves nothing; the next tick would be too late.
CANCEL_AFTER_S = 55.0
# Used until a fleet has shown how long its boots take. Measured: 40-90 s from image pull to ready worker.
DEFAULT_BOOT_S = 90.0
MIN_BOOTS = 5
MAX_REMEMBERED = 50
# Measured: a higher quantile adds more idle worker time than it saves waiting; only a few tasks wait for a late worker.
LEARNED_QUANTILE = 0.7
# Between a worker's first report and its first message: it takes protection, and a tick may come late.
READY_AFTER_S = 10.0
# A longer time is no boot: there was no capacity, or the count was set by hand.
LONGEST_BOOT_S = 600.0
MAX_LAUNCHES = 64  # with no capacity for hours, launches would pile up in the memory

# As many tasks end during a boot as ended in the last minute; half of them is a safe estimate of the slots they free.
SHARE_OF_ENDS = 0.5
# Demand that has grown in the last minute goes on to grow: by three quarters as much during a boot, as simulated. More
# than one worker is not launched for it: a burst that is already over must not cost a multiple.
SHARE_OF_GROWTH = 0.75


@dataclass(frozen=True, kw_only=True)
class Launch:
    """`tasks` that were launched at the time `at` (Redis's) and have not reported yet."""

    at: float
    tasks: int


@dataclass(frozen=True, kw_only=True)
class Boots:
    """The `launches` under way, oldest first, and `took_s`: the seconds that the last boots took, newest last."""

    launches: tuple[Launch, ...] = ()
    took_s: tuple[float, ...] = ()

    def observe(self, booting: int, *, now: float) -> Boots:
        """Update the launches at a tick at which `booting` tasks have not reported.

        It is unknown which boot has ended: take the oldest. Tasks that the autoscaler did not ask for (a replacement by
        ECS, a count set by hand) count as launched now.
        """
        launches = _before(self.launches, now=now)
        ended = sum(launch.tasks for launch in launches) - booting
        if ended < 0:
            return Boots(launches=_merge_oldest((*launches, Launch(at=now, tasks=-ended))), took_s=self.took_s)
        left, gone = _split(launches, ended)
        took = [now - launch.at for launch in gone for _ in range(launch.tasks) if now - launch.at < LONGEST_BOOT_S]
        return Boots(launches=left, took_s=(*self.took_s, *took)[-MAX_REMEMBERED:])

    def cancel(self, tasks: int) -> Boots:
        """Drop the oldest `tasks`, which were cancelled."""
        left, _ = _split(self.launches, tasks)
        return Boots(launches=left, took_s=self.took_s)

    def paid_for(self, *, now: float) -> int:
        """Count the tasks in their first minute, which is billed in any case."""
        return sum(launch.tasks for launch in self.launches if now - launch.at < CANCEL_AFTER_S)

    def half_way(self, *, now: float) -> int:
        """Count the tasks that have taken half of a boot's time: a new launch would hardly be ready before them."""
        half_s = self.takes_s / 2
        return sum(launch.tasks for launch in self.launches if now - launch.at >= half_s)

    def oldest_s(self, *, now: float) -> float:
        """Return the seconds since the oldest launch under way, 0 without any."""
        return max(0.0, now - self.launches[0].at) if self.launches else 0.0

    @property
    def takes_s(self) -> float:
        """Seconds within which seven of ten boots ended."""
        if len(self.took_s) < MIN_BOOTS:
            return DEFAULT_BOOT_S
        return sorted(self.took_s)[math.ceil(LEARNED_QUANTILE * len(self.took_s)) - 1]

    @property
    def lead_s(self) -> float:
        """Seconds before its first task at which a worker must be launched."""
        return self.takes_s + READY_AFTER_S


def _split(launches: Sequence[Launch], tasks: int) -> tuple[tuple[Launch, ...], tuple[Launch, ...]]:
    """Split the launches into those without the oldest `tasks`, and the oldest `tasks`."""
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
    """Keep the launches before `now`.

    A repeated tick has not asked for those of this moment yet; a failover to a slower clock puts some in the future.
    """
    return tuple(launch for launch in launches if launch.at < now)


def _merge_oldest(launches: tuple[Launch, ...]) -> tuple[Launch, ...]:
    """Merge the two oldest launches when there are more than MAX_LAUNCHES."""
    if len(launches) <= MAX_LAUNCHES:
        return launches
    first, second, *others = launches
    return (Launch(at=first.at, tasks=first.tasks + second.tasks), *others)


def tasks_without_slot(*, queued: int, free: int, ended: int) -> float:
    """Count the tasks that wait for a boot: no slot is free for them, and ending tasks will free none meanwhile."""
    return max(0.0, queued - free - SHARE_OF_ENDS * ended)


def tasks_to_come(*, grown: int, concurrency: int) -> int:
    """Return how many more tasks are expected during a boot, where demand has `grown` by so many in the last minute."""
    return min(concurrency, int(SHARE_OF_GROWTH * grown))
