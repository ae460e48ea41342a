"""Looks again and again within one invocation, while something is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def look_until(
    look: Callable[[], Seen],
    *,
    is_done: Callable[[Seen], bool],
    looks: int,
    every_s: float,
    takes_at_most_s: float,
    seconds_left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Seen:
    """What the last look saw: the first that is done, or the last of `looks`, which are `every_s` apart.

    `takes_at_most_s`: so long may a look take. None begins that could outlast the invocation's `seconds_left`.
    """
    while True:
        seen = look()
        looks -= 1
        if not looks or is_done(seen) or seconds_left() < every_s + takes_at_most_s:
            return seen
        sleep(every_s)
