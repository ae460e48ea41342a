"""Reads the autoscaler's last decisions of every pool, and shows them as a table or as lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis
from rich import box
from rich.table import Table
from rich.text import Text

from fleet.registry import decisions_key

Decision = dict[str, Any]
LATEST_TIME_S = 1e11  # the calendar shows no later time, in seconds since the epoch
PASSING = ("t", "oldest_wait")  # fields that differ between two equal decisions
COLUMNS = ("queued", "wait", "active", "consuming", "draining", "desired")
NARROW_COLUMNS = ("desired",)
NOT_KNOWN = "-"


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The decisions of all pools, the latest last; `unreadable` counts entries, or whole lists, that hold none."""

    found: tuple[Decision, ...]
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """The last of `times` equal decisions that a pool took in a row."""

    decision: Decision
    times: int = 1


def read_decisions(broker: redis.Redis, pools: Iterable[str], count: int) -> Decisions:
    """Read the last `count` decisions of each pool. Raises redis.RedisError."""
    client: Any = broker  # the stubs say that answers may be awaitable
    decisions: list[Decision] = []
    unreadable = 0
    for pool in pools:
        try:
            entries = client.lrange(decisions_key(pool), 0, count - 1)
        except redis.exceptions.NoPermissionError:
            raise
        except redis.ResponseError:  # a key of another type
            unreadable += 1
            continue
        read = [_decision(entry) for entry in entries]
        decisions += [decision for decision in read if decision is not None]
        unreadable += read.count(None)
    decisions.sort(key=lambda decision: (decision["t"], decision["pool"]))
    return Decisions(found=tuple(decisions), unreadable=unreadable)


def rows_of(decisions: Iterable[Decision]) -> list[Row]:
    """Fold each pool's equal decisions in a row into one; order the rows by their last decision."""
    by_pool: dict[str, Row] = {}
    ended: list[Row] = []
    for decision in decisions:
        before = by_pool.get(decision["pool"])
        if before is not None and are_equal(before.decision, decision):
            by_pool[decision["pool"]] = replace(before, decision=decision, times=before.times + 1)
            continue
        if before is not None:
            ended.append(before)
        by_pool[decision["pool"]] = Row(decision=decision)
    rows = [*ended, *by_pool.values()]
    return sorted(rows, key=lambda row: (row.decision["t"], row.decision["pool"]))


def are_equal(one: Decision, other: Decision) -> bool:
    """Whether two decisions differ in nothing but times."""
    first, second = ({name: v for name, v in each.items() if name not in PASSING} for each in (one, other))
    return first == second


def table(rows: Sequence[Row], *, note: str = "", wide: bool = True) -> Table:
    """Return the rows as a table; an unknown figure is a dash, and `note` stands below.

    A table that is not `wide` leaves out the figures: the reason names those that mattered.
    """
    columns = COLUMNS if wide else NARROW_COLUMNS
    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        caption=Text(note) if note else None,
        caption_justify="left",
    )
    for name in ("time", "pool"):
        made.add_column(name, no_wrap=True)
    for name in columns:
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("reason", overflow="fold")
    for row in rows:
        decision = row.decision
        cells = [_time(decision), decision["pool"], *(_figure(decision, name) for name in columns), _reason(row)]
        made.add_row(*(Text(cell) for cell in cells), style="yellow" if _is_troubled(decision) else "")
    return made


def line(row: Row) -> str:
    """Return the row on one line."""
    decision = row.decision
    figures = "  ".join(f"{name} {_figure(decision, name)}" for name in COLUMNS)
    return f"{_time(decision)}  {decision['pool']}  {figures}  {_reason(row)}"


def unreadable_note(unreadable: int) -> str:
    """Return a note on entries that hold no decision; nothing when there are none."""
    return f"{unreadable} entries could not be read" if unreadable else ""


def _decision(raw: bytes | str) -> Decision | None:
    """Parse a recorded decision; None for anything that the autoscaler does not record."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    t: Any = found.get("t")
    has_time = type(t) in (int, float) and 0 <= t < LATEST_TIME_S
    has_text = isinstance(found.get("pool"), str) and isinstance(found.get("reason"), str)
    return found if has_time and has_text and isinstance(found.get("problems"), list) else None


def _time(decision: Decision) -> str:
    return time.strftime("%H:%M:%S", time.localtime(decision["t"]))


def _figure(decision: Decision, name: str) -> str:
    if name == "wait":
        wait = decision.get("oldest_wait")
        return f"{wait:.0f} s" if isinstance(wait, int | float) else NOT_KNOWN
    value = decision.get(name)
    if name == "desired" and value is not None and decision.get("was") not in (None, value):
        return f"{decision['was']} → {value}"
    return NOT_KNOWN if value is None else str(value)


def _reason(row: Row) -> str:
    decision = row.decision
    text = "; ".join([decision["reason"], *map(str, decision["problems"])])
    return f"{text} (x {row.times})" if row.times > 1 else text


def _is_troubled(decision: Decision) -> bool:
    doubts = (decision.get(name) for name in ("unreadable", "malformed", "ignored"))
    return any(doubts) or bool(decision["problems"])
