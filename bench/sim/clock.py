"""The simulated time: a priority queue of what happens next."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

Action = Callable[[Any], None]
Beat = Callable[[], float]


class Clock:
    """Runs actions in the order of their times; those of one time in the order in which they were planned.

    `spared_at`: the last beat that was spared since the one before it, see `regularly`; None when none was.
    """

    __slots__ = ("_beat", "_beat_at", "_beat_number", "_period_s", "_planned", "_plans", "now", "spared_at")

    def __init__(self) -> None:
        self.now = 0.0
        self.spared_at: float | None = None
        self._plans: list[tuple[float, int, Action, Any]] = []
        self._planned = 0
        self._beat: Beat | None = None  # what comes regularly: no need to queue
        self._beat_at, self._beat_number, self._period_s = math.inf, 0, 0.0

    def at(self, time: float, action: Action, argument: Any = None) -> None:
        """Plans `action(argument)`; a time that is past means now."""
        self._planned += 1
        heapq.heappush(self._plans, (max(time, self.now), self._planned, action, argument))

    def after(self, delay_s: float, action: Action, argument: Any = None) -> None:
        self.at(self.now + delay_s, action, argument)

    def regularly(self, period_s: float, beat: Beat, *, first_at: float) -> None:
        """Plans `beat()` each `period_s`, as if it planned itself anew whenever it begins. There can be one.

        It returns a time: the beats before it are spared for as long as nothing else happens. 0.0 spares none.
        """
        self._planned += 1
        self._beat, self._period_s = beat, period_s
        self._beat_at, self._beat_number = first_at, self._planned

    def run(self) -> None:
        """Until nothing is planned, or `stop` was called."""
        plans, pop = self._plans, heapq.heappop
        while True:
            beat = self._beat
            if beat is not None and self._is_beat_next():
                self.now = self._beat_at
                self._plan_beat()
                spared_until = beat()
                self.spared_at = None
                self._spare(spared_until)
            elif plans:
                self.now, _, action, argument = pop(plans)
                action(argument)
            else:
                return

    def stop(self) -> None:
        """Nothing more happens."""
        self._plans.clear()
        self._beat = None

    def _is_beat_next(self) -> bool:
        if not self._plans:
            return True
        time, number, _, _ = self._plans[0]
        return self._beat_at < time or (self._beat_at == time and self._beat_number < number)

    def _plan_beat(self) -> None:
        self._planned += 1
        self._beat_at += self._period_s
        self._beat_number = self._planned

    def _spare(self, until: float) -> None:
        """The beats before `until` that come before anything else does, if anything else does."""
        if not self._plans:
            return
        until = min(until, self._plans[0][0])
        while self._beat_at < until:
            self.spared_at = self._beat_at
            self._plan_beat()
