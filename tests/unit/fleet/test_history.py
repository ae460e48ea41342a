"""The ring of samples behind the Fleet page's chart."""

import json

import pytest

from fleet.history import HOURS, SLOTS, STEP_S, read_samples, sample_of, slot_of

NOW = 1_700_000_000.0
DECISION = {"t": NOW, "queued": 3, "active": 2, "consuming": 1, "draining": 0, "desired": 1, "reason": "because"}


def test_a_sample_holds_the_time_and_the_figures_and_nothing_else() -> None:
    assert json.loads(sample_of(DECISION)) == [NOW, 3, 2, 1, 0, 1]


def test_an_unknown_figure_stays_unknown() -> None:
    assert json.loads(sample_of({"t": NOW})) == [NOW, None, None, None, None, None]
    assert read_samples([sample_of({"t": NOW})], now=NOW) == ([[NOW, None, None, None, None, None]], 0)


def test_the_ring_starts_over_after_its_hours() -> None:
    assert slot_of(NOW) == slot_of(NOW + HOURS * 3600)
    assert len({slot_of(NOW + step * STEP_S) for step in range(2 * SLOTS)}) == SLOTS


def test_samples_older_than_the_hours_are_not_shown() -> None:
    stale = sample_of({**DECISION, "t": NOW - HOURS * 3600 - 1})
    assert read_samples([stale], now=NOW) == ([], 0)


def test_samples_come_oldest_first_whatever_their_slots() -> None:
    raw = [sample_of({**DECISION, "t": NOW - age}) for age in (60, 0, 30)]
    samples, _ = read_samples(raw, now=NOW)
    assert [sample[0] for sample in samples] == [NOW - 60, NOW - 30, NOW]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        "{",
        "{}",
        "[]",
        "[" * 100_000,
        "[NaN,1,1,1,1,1]",
        "[1e400,1,1,1,1,1]",
        f"[{10**400},1,1,1,1,1]",
        '["<b>",1,1,1,1,1]',
        f"[{NOW},-1,1,1,1,1]",
        f"[{NOW},1.5,1,1,1,1]",
        f"[{NOW},true,1,1,1,1]",
    ],
)
def test_malformed_samples_are_counted_and_left_out(raw: str | bytes) -> None:
    assert read_samples([raw, sample_of(DECISION)], now=NOW) == ([[NOW, 3, 2, 1, 0, 1]], 1)
