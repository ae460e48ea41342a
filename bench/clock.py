"""The simulated time: a priority queue of what happens next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Action = Callable[[Any], None]


class Clock:
    """Runs actions in the order of their times; those of one time in the order in which they were planned."""

    __slots__ = ("_beat", "_period_s", "_planned", "_plans", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._plans: list[tuple[float, int, Action, Any]] = []
        self._planned = 0
        self._beat: tuple[float, int, Action, Any] | None = None  # what comes regularly: no need to queue
        self._period_s = 0.0

    def at(self, time: float, action: Action, argument: Any = None) -> None:
        """Plans `action(argument)`; a time that is past means now."""
        self._planned += 1
        heapq.heappush(self._plans, (max(time, self.now), self._planned, action, argument))

    def after(self, delay_s: float, action: Action, argument: Any = None) -> None:
        self.at(self.now + delay_s, action, argument)

    def regularly(self, period_s: float, action: Action, *, first_at: float) -> None:
        """Plans `action(None)` each `period_s`, as if it planned itself anew whenever it begins. There can be one."""
        self._planned += 1
        self._period_s, self._beat = period_s, (first_at, self._planned, action, None)

    def run(self) -> None:
        """Until nothing is planned, or `stop` was called."""
        plans, pop = self._plans, heapq.heappop
        while True:
            beat = self._beat
            if beat is not None and (not plans or beat < plans[0]):
                self.now, _, action, argument = beat
                self._planned += 1
                self._beat = (self.now + self._period_s, self._planned, action, argument)
            elif plans:
                self.now, _, action, argument = pop(plans)
            else:
                return
            action(argument)

    def stop(self) -> None:
        self._plans.clear()
        self._beat = None
