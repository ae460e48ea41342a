"""A pool's last hours in a ring: one small sample each half minute, overwritten when the ring comes round.

The ring is a Redis hash. A decision lands in the slot of its time: writing takes one command and no reading, two
writers do no harm, and the size is bounded without anybody trimming, 720 samples of some 40 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from fleet.validation import is_figure, is_time, loads_each

STEP_S = 30
HOURS = 6
SLOTS = HOURS * 3600 // STEP_S
FIGURES = ("queued", "active", "consuming", "draining", "desired")  # as a decision's record names them

# [t, *FIGURES]; a figure is None where it was not known.
Sample = list[float | int | None]
_time_of = itemgetter(0)


def slot_of(t: float) -> str:
    """The hash's field for a time in seconds since the epoch: within a step the later sample stands."""
    return str(int(t // STEP_S) % SLOTS)


def sample_of(decision: Mapping[str, Any]) -> str:
    """What the ring keeps of a decision's record."""
    return json.dumps([decision["t"], *(decision.get(figure) for figure in FIGURES)], separators=(",", ":"))


def read_samples(raw: Sequence[str | bytes], *, now: float) -> tuple[list[Sample], int]:
    """The samples of the last HOURS, oldest first, with the count of entries that are none."""
    said: list[Any] = loads_each(raw)
    samples: list[Sample] = [sample for sample in said if _is_sample(sample)]
    recent = [sample for sample in samples if now - HOURS * 3600 < _time_of(sample) <= now + STEP_S]
    return sorted(recent, key=_time_of), len(said) - len(samples)


def _is_sample(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 1 + len(FIGURES)
        and is_time(value[0])
        and all(map(is_figure, value[1:]))
    )
