"""Past runs with the slots that each wanted at once in its beginning: for whoever computes that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest


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
    pytest.param(at_once(5), 5, id="all at once"),
    # 0-10 s, 11-21 s, 22-32 s: never two at a time
    pytest.param(
        [Past(queued=11 * step, started=11 * step + 1, ran=10) for step in range(3)], 1, id="one after the other"
    ),
    # Nobody was there for 90 s; then one worker of 2 slots took them. All 6 wanted a slot at once.
    pytest.param(
        [Past(queued=1, started=90 + 10 * (index // 2), ran=10) for index in range(6)], 6, id="no worker was there"
    ),
    # The first task waited for 90 s, so the 4 that follow it came 5 s after the run could begin, not 95.
    pytest.param(
        [Past(queued=1, started=90, ran=4), *[Past(queued=95, started=96, ran=10)] * 4], 4, id="a later start"
    ),
    pytest.param(
        [Past(queued=1, started=2, ran=70), *[Past(queued=72, started=73, ran=10)] * 4], 1, id="a later stage"
    ),
    pytest.param([Past(queued=None, started=2, ran=0)] * 7, 0, id="never queued"),
    pytest.param(at_once(4, ran=0), 4, id="over at once"),
    pytest.param([], 0, id="no task"),
]
