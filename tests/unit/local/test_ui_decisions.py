"""The autoscaler's decisions as a table and as lines."""

import io
from typing import Any

import pytest
from rich.console import Console

from local.ui.decisions import Decision, Row, line, rows_of, table, unreadable_note

DECISION: Decision = {
    "t": 1_000_000.0,
    "pool": "worker",
    "queued": 9,
    "oldest_wait": 12.4,
    "active": 4,
    "consuming": 1,
    "draining": 0,
    "was": 1,
    "desired": 4,
    "reason": "9 queued + 4 active need 4; desired 1 -> 4",
    "problems": [],
}


def decision(t: float, **other: Any) -> Decision:
    return {**DECISION, "t": t, **other}


def shown(*rows: Row, note: str = "") -> list[str]:
    out = io.StringIO()
    Console(file=out, width=150).print(table(rows, note=note))
    return [text for text in out.getvalue().splitlines() if text.strip()]


def test_a_line_says_what_changed_and_why() -> None:
    said = line(Row(decision=DECISION))
    assert "queued 9  wait 12 s  active 4  consuming 1  draining 0  desired 1 → 4" in said
    assert said.endswith("9 queued + 4 active need 4; desired 1 -> 4")


def test_an_unknown_figure_is_a_dash_and_not_a_zero() -> None:
    blind = {key: value for key, value in DECISION.items() if key not in ("queued", "was", "desired")}
    said = line(Row(decision={**blind, "oldest_wait": None, "problems": ["not carried out: throttled"]}))
    assert "queued -  wait -  active 4" in said
    assert "desired -" in said
    assert said.endswith("not carried out: throttled")


def test_the_table_has_the_same_columns() -> None:
    second = decision(1_000_005.0, was=4, reason="[bold]no markup")
    header, _, *rows = shown(Row(decision=DECISION), Row(decision=second, times=7), note="2 entries ...")
    assert header.split() == ["time", "pool", "queued", "wait", "active", "consuming", "draining", "desired", "reason"]
    assert "1 → 4" in rows[0]
    assert "[bold]no markup (x 7)" in rows[1]
    assert rows[2].strip() == "2 entries ..."


def test_equal_decisions_of_a_pool_are_one_row_even_when_pools_alternate() -> None:
    said = [decision(float(t), pool=pool, oldest_wait=float(t)) for t in range(3) for pool in ("big", "worker")]
    changed = decision(3.0, desired=5)
    rows = rows_of([*said, changed, decision(4.0)])
    assert [(row.decision["t"], row.decision["pool"], row.times) for row in rows] == [
        (2.0, "big", 3),
        (2.0, "worker", 3),
        (3.0, "worker", 1),
        (4.0, "worker", 1),
    ]


@pytest.mark.parametrize(("unreadable", "note"), [(0, ""), (2, "2 entries could not be read")])
def test_entries_without_a_decision_are_counted_in_a_note(unreadable: int, note: str) -> None:
    assert unreadable_note(unreadable) == note


def test_a_narrow_table_leaves_out_the_figures() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(table([Row(decision=DECISION)], wide=False))
    header, _, row = (text.split() for text in out.getvalue().splitlines())
    assert header == ["time", "pool", "desired", "reason"]
    assert row[2:] == ["1", "→", "4", *DECISION["reason"].split()]
