"""Make several ticks within one invocation, while something is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def tick_until(
    tick: Callable[[], Result],
    *,
    is_done: Callable[[Result], bool],
    ticks: int,
    every_s: float,
    longest_tick_s: float,
    seconds_left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Return the result of the last tick: the first that is done, or the last of `ticks`, which are `every_s` apart.

    `longest_tick_s` is the longest a tick takes. No tick begins that could outlast the invocation's `seconds_left`.
    """
    while True:
        result = tick()
        ticks -= 1
        if not ticks or is_done(result) or seconds_left() < every_s + longest_tick_s:
            return result
        sleep(every_s)
