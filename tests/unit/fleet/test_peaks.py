"""The record of what a pool's tasks need."""

import json
from typing import Any

import pytest

from fleet.peaks import LAST, MOST_MIB, PoolPeaks, parse_peaks, typical


def test_a_record_reads_back() -> None:
    peaks = PoolPeaks(last=(1, 400), room=1700)
    assert parse_peaks(peaks.to_json()) == peaks
    assert parse_peaks(None) is None


def test_a_record_holds_the_last_peaks_only() -> None:
    written = parse_peaks(PoolPeaks(last=tuple(range(LAST + 5)), room=0).to_json())
    assert written is not None
    assert written.last == tuple(range(5, LAST + 5))


@pytest.mark.parametrize(("peaks", "found"), [((), 0), ((5,), 5), (range(1, 11), 9), (range(1, 101), 90)])
def test_nine_of_ten_peaks_do_not_exceed_the_typical_one(peaks: Any, found: int) -> None:
    assert typical(peaks) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"last": None},
        {"last": {"0": 1}},
        {"last": [1] * (LAST + 1)},
        {"last": [True]},
        {"last": [-1]},
        {"last": [MOST_MIB + 1]},
        {"room": 1.5},
        {"room": None},
    ],
)
def test_an_implausible_record_is_refused(changes: dict[str, Any]) -> None:
    record = json.loads(PoolPeaks(last=(1,), room=2).to_json())
    with pytest.raises(ValueError, match="peaks"):
        parse_peaks(json.dumps({**record, **changes}))


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b"\xff", "[" * 100_000])
def test_what_is_no_record_is_refused(raw: bytes | str) -> None:
    with pytest.raises(ValueError, match="peaks"):
        parse_peaks(raw)
