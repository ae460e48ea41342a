"""A pool's last hours in a ring: one small sample each half minute, overwritten after six hours.

The ring is a Redis hash. A decision's time gives its field: a write takes one command and no read, two writers do no
harm, and the size is bounded without trimming: 720 samples of some 40 bytes.
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
FIGURES = ("queued", "active", "consuming", "draining", "desired")  # field names of a decision's record

# [t, *FIGURES]; an unknown figure is None.
Sample = list[float | int | None]
_time_of = itemgetter(0)


def slot_of(t: float) -> str:
    """Return the hash's field for a time in seconds since the epoch; within a step the last sample stays."""
    return str(int(t // STEP_S) % SLOTS)


def sample_of(decision: Mapping[str, Any]) -> str:
    """Return the ring's sample of a decision's record, as JSON."""
    return json.dumps([decision["t"], *(decision.get(figure) for figure in FIGURES)], separators=(",", ":"))


def read_samples(raw: Sequence[str | bytes], *, now: float) -> tuple[list[Sample], int]:
    """Return the samples of the last HOURS, oldest first, and the number of malformed entries."""
    entries: list[Any] = loads_each(raw)
    samples: list[Sample] = [entry for entry in entries if _is_sample(entry)]
    recent = [sample for sample in samples if now - HOURS * 3600 < _time_of(sample) <= now + STEP_S]
    return sorted(recent, key=_time_of), len(entries) - len(samples)


def workers_of(sample: Sample) -> int | None:
    """Return how many workers of the pool ran or booted; None if that is not known.

    `desired` counts those that boot. While a deployment replaces workers, those that drain come on top of it.
    """
    consuming, draining, desired = (sample[1 + FIGURES.index(name)] for name in ("consuming", "draining", "desired"))
    if desired is None:
        return None
    return int(max(desired, (consuming or 0) + (draining or 0)))


def _is_sample(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 1 + len(FIGURES)
        and is_time(value[0])
        and all(map(is_figure, value[1:]))
    )
