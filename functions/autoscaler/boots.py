"""Follows the boots under way, and learns from them how long a boot takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

# Fargate bills a minute at least, so giving a boot up earlier saves nothing; the next look would be too late.
GIVEN_UP_AFTER_S = 55.0
# Until a fleet has shown how long its boots take. Measured: 40-90 s from the image's pull to a ready worker.
BOOT_TAKES_S = 90.0
FEWEST_TO_LEARN_FROM = 5
REMEMBERED = 50
# Measured: with more, workers idle for longer than tasks wait less; who comes late is waited for by a few tasks only.
LEARNED_QUANTILE = 0.7
# Between a worker's first report and its first message: it takes protection, and a look comes a little late.
READY_AFTER_S = 10.0
# What takes longer is no boot: there was no capacity, or somebody set the count by hand.
LONGEST_BOOT_S = 600.0
MOST_LAUNCHES = 64  # with no capacity for hours, launches would pile up in the memory


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

    def seen(self, booting: int, *, now: float) -> Boots:
        """Now that `booting` tasks have been asked for and have not reported.

        Which boot has ended, nothing says: the oldest is taken. What nobody here has asked for (a replacement of
        ECS's, a count set by hand) was launched now.
        """
        launches = _before(self.launches, now=now)
        ended = sum([launch.tasks for launch in launches]) - booting
        if ended == 0 and launches is self.launches:
            return self
        if ended < 0:
            return Boots(launches=_few((*launches, Launch(at=now, tasks=-ended))), took_s=self.took_s)
        left, gone = _split(launches, ended)
        took = [now - launch.at for launch in gone for _ in range(launch.tasks) if now - launch.at < LONGEST_BOOT_S]
        return Boots(launches=left, took_s=(*self.took_s, *took)[-REMEMBERED:])

    def without(self, tasks: int) -> Boots:
        """After `tasks` of them were given up."""
        if not tasks:
            return self
        left, _ = _split(self.launches, tasks)
        return Boots(launches=left, took_s=self.took_s)

    def paid_for(self, *, now: float) -> int:
        """Those in their first minute, which is billed whatever becomes of them."""
        return sum([launch.tasks for launch in self.launches if now - launch.at < GIVEN_UP_AFTER_S])

    def half_way(self, *, now: float) -> int:
        """Those that have taken half of a boot's time: of one that is launched now, few would be ready before them."""
        half_s = self.takes_s / 2
        return sum([launch.tasks for launch in self.launches if now - launch.at >= half_s])

    @cached_property
    def takes_s(self) -> float:
        """So long takes a boot at most, seven times in ten."""
        if len(self.took_s) < FEWEST_TO_LEARN_FROM:
            return BOOT_TAKES_S
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
    if not launches or max([launch.at for launch in launches]) < now:
        return launches
    return tuple(launch for launch in launches if launch.at < now)


def _few(launches: tuple[Launch, ...]) -> tuple[Launch, ...]:
    """The two oldest become one when there are too many."""
    if len(launches) <= MOST_LAUNCHES:
        return launches
    first, second, *others = launches
    return (Launch(at=first.at, tasks=first.tasks + second.tasks), *others)
