"""Follows how long a pool's tasks take, from what the looks have seen."""

from __future__ import annotations

from dataclasses import dataclass

FEWEST_TO_LEARN_FROM = 20
# A few bursts' worth: what ended before counts for less and less.
REMEMBERED = 200.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """While `ends` tasks ended, the last REMEMBERED of them, slots were taken for `worked_s` seconds, all together.

    `at`: since when (Redis's time) looks have seen `demand` tasks that wait or run, `active` of which run.
    """

    worked_s: float = 0.0
    ends: float = 0.0
    at: float = 0.0
    demand: int = 0
    active: int = 0

    def seen(self, *, demand: int, active: int, now: float) -> Pace:
        """Now that a look has seen so many. A clock that went back adds no work."""
        if demand == self.demand and active == self.active:
            return self
        ends = self.ends + max(0, self.demand - demand)
        share = min(1.0, REMEMBERED / ends) if ends else 1.0
        worked_s = self.worked_s + self.active * max(0.0, now - self.at)
        return Pace(worked_s=share * worked_s, ends=share * ends, at=now, demand=demand, active=active)

    @property
    def task_s(self) -> float | None:
        """Seconds a task, rather too many: an arrival between two looks hides an end. None: too few have ended."""
        return self.worked_s / self.ends if self.ends >= FEWEST_TO_LEARN_FROM else None
