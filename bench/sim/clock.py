"""The simulated time: a priority queue of planned actions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

Action = Callable[[Any], None]
Tick = Callable[[], float]


class Clock:
    """Runs actions by time, and those of the same time in the order in which they were planned.

    `skipped_at` is the time of the last tick that was skipped since the tick before; None if none was. See `regularly`.
    """

    __slots__ = ("_period_s", "_planned", "_plans", "_tick", "_tick_at", "_tick_number", "now", "skipped_at")

    def __init__(self) -> None:
        self.now = 0.0
        self.skipped_at: float | None = None
        self._plans: list[tuple[float, int, Action, Any]] = []
        self._planned = 0
        self._tick: Tick | None = None  # kept outside the queue, which is faster
        self._tick_at, self._tick_number, self._period_s = math.inf, 0, 0.0

    def at(self, time: float, action: Action, argument: Any = None) -> None:
        """Plan `action(argument)`. A time in the past means now."""
        self._planned += 1
        heapq.heappush(self._plans, (max(time, self.now), self._planned, action, argument))

    def after(self, delay_s: float, action: Action, argument: Any = None) -> None:
        """Plan `action(argument)` for `delay_s` from now."""
        self.at(self.now + delay_s, action, argument)

    def regularly(self, period_s: float, tick: Tick, *, first_at: float) -> None:
        """Plan `tick()` every `period_s`, as if each tick planned the next one when it begins. There is at most one.

        `tick` returns a time: the ticks before it are skipped as long as nothing else happens. 0.0 skips none.
        """
        self._planned += 1
        self._tick, self._period_s = tick, period_s
        self._tick_at, self._tick_number = first_at, self._planned

    def run(self) -> None:
        """Run until nothing is planned, or `stop` is called."""
        plans, pop = self._plans, heapq.heappop
        while True:
            tick = self._tick
            if tick is not None and self._is_tick_next():
                self.now = self._tick_at
                self._plan_tick()
                self.tick_now()
            elif plans:
                self.now, _, action, argument = pop(plans)
                action(argument)
            else:
                return

    def tick_now(self) -> None:
        """Tick, whether or not it is time for one; the next regular tick stays as planned."""
        if self._tick is not None:
            skip_until = self._tick()
            self.skipped_at = None
            self._skip(skip_until)

    def stop(self) -> None:
        """Drop all plans."""
        self._plans.clear()
        self._tick = None

    def _is_tick_next(self) -> bool:
        if not self._plans:
            return True
        time, number, _, _ = self._plans[0]
        return self._tick_at < time or (self._tick_at == time and self._tick_number < number)

    def _plan_tick(self) -> None:
        self._planned += 1
        self._tick_at += self._period_s
        self._tick_number = self._planned

    def _skip(self, until: float) -> None:
        """Skip the ticks before `until` and before the next planned action, if there is one."""
        if not self._plans:
            return
        until = min(until, self._plans[0][0])
        while self._tick_at < until:
            self.skipped_at = self._tick_at
            self._plan_tick()
