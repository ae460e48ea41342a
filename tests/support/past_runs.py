"""Past runs with the course of each, in pairs of second and slots, for all code that computes courses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

WINDOW_S = 300  # of the cases


@dataclass(frozen=True, kw_only=True)
class Past:
    """A past task: seconds after its run was due at which it was queued and started, and for how long it ran."""

    queued: float | None
    started: float
    ran: float
    queue: str = "default"


def at_once(count: int, *, ran: float = 10, queue: str = "default") -> list[Past]:
    """Tasks that found enough slots when the run began."""
    return [Past(queued=1, started=1.5, ran=ran, queue=queue)] * count


CASES: Sequence[Any] = [
    pytest.param(at_once(5), ((0, 5),), id="all at once"),
    # 0-10 s, 11-21 s, 22-32 s: never two at a time
    pytest.param(
        [Past(queued=11 * step, started=11 * step + 1, ran=10) for step in range(3)],
        ((0, 1),),
        id="one after the other",
    ),
    # No worker was there for 90 s; then one of 2 slots took them. All 6 wanted a slot at once.
    pytest.param(
        [Past(queued=1, started=90 + 10 * (index // 2), ran=10) for index in range(6)],
        ((0, 6),),
        id="no worker was there",
    ),
    # The first task waited for 90 s, so the 4 that follow it came 5 s after the run could begin, not 95.
    pytest.param(
        [Past(queued=1, started=90, ran=4), *[Past(queued=95, started=96, ran=10)] * 4], ((0, 4),), id="a later start"
    ),
    # The 4 come 70 s after the first has started: in the seconds 60 to 75, when its slot is free.
    pytest.param(
        [Past(queued=1, started=2, ran=70), *[Past(queued=72, started=73, ran=10)] * 4],
        ((0, 1), (60, 3)),
        id="a later stage",
    ),
    # Another task runs on, so one slot more is wanted than if it had not: 5 instead of 4.
    pytest.param(
        [Past(queued=1, started=2, ran=70), Past(queued=1, started=2, ran=90)]
        + [Past(queued=72, started=73, ran=10)] * 4,
        ((0, 2), (60, 3)),
        id="a later stage beside a long task",
    ),
    pytest.param(
        [*at_once(3), *[Past(queued=16.5, started=17, ran=10)] * 2, *[Past(queued=31.5, started=32, ran=10)] * 5],
        ((0, 3), (30, 2)),
        id="a narrow stage between wide ones",
    ),
    pytest.param(
        [Past(queued=after_s, started=after_s, ran=60) for after_s in (1.5, 16.5, 31.5 - 1 / 64)],
        ((0, 1), (15, 2)),
        id="the first and the last moment of a bucket",
    ),
    pytest.param(
        [Past(queued=1.5, started=1.5, ran=400), Past(queued=301.25, started=302, ran=10)]
        + [Past(queued=301.5, started=302, ran=10)] * 9,
        ((0, 1), (285, 1)),
        id="nothing after the window",
    ),
    pytest.param([Past(queued=None, started=2, ran=0)] * 7, (), id="never queued"),
    pytest.param(at_once(4, ran=0), ((0, 4),), id="over at once"),
    pytest.param([], (), id="no task"),
]
