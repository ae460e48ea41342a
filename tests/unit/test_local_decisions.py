"""How the autoscaler's decisions are shown to a person."""

import io
from typing import Any

from rich.console import Console

from local.decisions import line, table
from local.demo.view import View

DECISION: dict[str, Any] = {
    "t": 1_000_000.0,
    "pool": "worker",
    "queued": 9,
    "active": 4,
    "consuming": 1,
    "draining": 0,
    "was": 1,
    "desired": 4,
    "reason": "9 queued + 4 active need 4; desired 1 -> 4",
    "problems": [],
}


def test_a_line_says_what_changed_and_why() -> None:
    shown = line(DECISION)
    assert "queued 9  active 4  consuming 1  draining 0  desired 1 → 4" in shown
    assert "9 queued + 4 active need 4" in shown


def test_a_figure_that_was_not_known_is_a_dash_and_no_zero() -> None:
    blind = {key: value for key, value in DECISION.items() if key not in ("queued", "was", "desired")}
    shown = line({**blind, "problems": ["not carried out: throttled"]})
    assert "queued -  active 4" in shown
    assert "desired -" in shown
    assert shown.endswith("not carried out: throttled")


def test_the_table_has_the_same_columns() -> None:
    out = io.StringIO()
    Console(file=out, width=140).print(table([DECISION, {**DECISION, "was": 4, "reason": "[bold]no markup"}]))
    header, _, first, second = [text for text in out.getvalue().splitlines() if text.strip()]
    assert header.split() == ["time", "pool", "queued", "active", "consuming", "draining", "desired", "reason"]
    assert "1 → 4" in first
    assert "[bold]no markup" in second


def test_without_a_terminal_each_decision_is_told_once() -> None:
    out = io.StringIO()
    view = View(Console(file=out, width=80))
    later = {**DECISION, "t": 1_000_015.0, "reason": "[later]"}
    view.decisions([DECISION])
    view.decisions([DECISION, later])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("[later]")
