"""Shows the autoscaler's decisions readably: a table on a terminal, a line each elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from local.ui.decisions import Decision, Repeated

COLUMNS = ("queued", "wait", "active", "consuming", "draining", "desired")
NARROW_COLUMNS = ("desired",)
NOT_KNOWN = "-"


def table(rows: Sequence[Repeated], *, note: str = "", wide: bool = True) -> Table:
    """A row each; a figure that was not known is a dash, and `note` says what else the reader should know.

    Where there is no room for all figures, the reason has to name those that mattered.
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


def line(row: Repeated) -> str:
    """The same on one line."""
    decision = row.decision
    figures = "  ".join(f"{name} {_figure(decision, name)}" for name in COLUMNS)
    return f"{_time(decision)}  {decision['pool']}  {figures}  {_reason(row)}"


def note_of(unreadable: int) -> str:
    """What to say of entries that hold no decision; nothing when there are none."""
    return f"{unreadable} entries could not be read" if unreadable else ""


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


def _reason(row: Repeated) -> str:
    decision = row.decision
    said = "; ".join([decision["reason"], *map(str, decision["problems"])])
    return f"{said} (x {row.times})" if row.times > 1 else said


def _is_troubled(decision: Decision) -> bool:
    return bool(decision.get("unreadable") or decision.get("malformed") or decision["problems"])
