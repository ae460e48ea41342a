"""How long to wait between two looks at something that takes seconds or hours."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_S, LONGEST_S, GROWTH = 0.2, 15.0, 1.5


def pauses() -> Iterator[float]:
    """Seconds: short at first, longer the longer it takes."""
    pause_s = FIRST_S
    while True:
        yield pause_s
        pause_s = min(LONGEST_S, GROWTH * pause_s)
