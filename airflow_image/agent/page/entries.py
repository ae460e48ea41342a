"""Reads the functions' records from Redis and checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleet.validation import is_figure, is_list_of_text, is_text, is_time, loads, loads_each

FIGURES = ("queued", "active", "consuming", "draining", "drained", "desired", "was", "needed")

# The version check ticks each minute.
CHECK_COUNTS_FOR_S = 150.0


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The last decisions about a pool, latest first, ready for JSON, and the number of malformed entries."""

    entries: tuple[dict[str, Any], ...]
    malformed: int


def read_decisions(raw: Sequence[str | bytes]) -> Decisions:
    """Read a pool's list of decisions, in its order."""
    entries = tuple(entry for entry in map(_decision, loads_each(raw)) if entry is not None)
    return Decisions(entries=entries, malformed=len(raw) - len(entries))


@dataclass(frozen=True, kw_only=True)
class Check:
    """The version check's last status. `starting`: since when workers start whose reports alone it lacks, POSIX times.

    `starting` is empty if the check lacks anything else.
    """

    status: str
    starting: tuple[float, ...] = ()


def read_check(raw: str | bytes | None, *, now: float) -> Check | None:
    """Return the version check's last result; None when there is none, or it is too old to count.

    The status is "unknown" when the entry is invalid.
    """
    if raw is None:
        return None
    memory = loads(raw)
    if not isinstance(memory, dict) or not is_text(memory.get("status")) or not is_time(memory.get("looked_at")):
        return Check(status="unknown")
    if now - memory["looked_at"] > CHECK_COUNTS_FOR_S:
        return None
    silent = memory.get("silent")
    is_starting_only = memory.get("is_starting_only") is True and isinstance(silent, dict)
    times = tuple(silent.values()) if is_starting_only and isinstance(silent, dict) else ()
    return Check(status=str(memory["status"]), starting=times if all(map(is_time, times)) else ())


def _decision(record: object) -> dict[str, Any] | None:
    """Return a parsed decision as the page shows it, with the orders counted; None for a malformed one."""
    if not isinstance(record, dict) or not is_time(record.get("t")) or not is_text(record.get("reason")):
        return None
    figures = {name: record.get(name) for name in FIGURES}
    texts = {name: record.get(name, []) for name in ("drain", "recall", "unreadable", "problems", "ignored")}
    if not all(map(is_figure, figures.values())) or not all(map(is_list_of_text, texts.values())):
        return None
    orders = {name: len(texts[name]) for name in ("drain", "recall")}
    lists = {"troubles": [*texts["unreadable"], *texts["problems"]], "ignored": texts["ignored"]}
    return {"t": record["t"], "reason": record["reason"], **figures, **orders, **lists}
