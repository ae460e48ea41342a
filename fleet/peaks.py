"""The memory that a pool's tasks need, as its workers have learned and share it. It names no task."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from fleet.validation import loads

RECORD_VERSION = 1
PEAKS_TTL_S = 30 * 86_400
LAST = 100
MOST_MIB = 10**6
TYPICAL_QUANTILE = 0.9


def typical(peaks: Collection[int]) -> int:
    """Return what nine of ten peaks do not exceed; 0 without one."""
    return sorted(peaks)[math.ceil(TYPICAL_QUANTILE * len(peaks)) - 1] if peaks else 0


@dataclass(frozen=True, kw_only=True)
class PoolPeaks:
    """`last`: the peaks of the tasks that ended last, the newest at the end. `room`: what tasks of a worker may hold.

    Both in MiB.
    """

    last: tuple[int, ...]
    room: int

    def to_json(self) -> str:
        """Return the record as stored: of the last LAST tasks."""
        record = {"version": RECORD_VERSION, **asdict(self), "last": self.last[-LAST:]}
        return json.dumps(record, separators=(",", ":"))


def parse_peaks(raw: bytes | str | None) -> PoolPeaks | None:
    """Return the record, None where there is none; raise ValueError for an invalid one."""
    if raw is None:
        return None
    record = loads(raw)
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
        raise ValueError("no record of peaks")
    last, room = record.get("last"), record.get("room", 0)
    if not isinstance(last, list) or len(last) > LAST or not all(map(_is_mib, (*last, room))):
        raise ValueError("the peaks are no short list of MiB")
    return PoolPeaks(last=tuple(last), room=room)


def _is_mib(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_MIB
