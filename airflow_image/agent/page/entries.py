"""Reads the functions' records from Redis and checks them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleet.validation import is_figure, is_time

FIGURES = ("queued", "active", "consuming", "draining", "drained", "desired", "was", "needed")

# The version check ticks each minute.
CHECK_COUNTS_FOR_S = 150.0


class MalformedEntry(ValueError):
    """An entry is invalid; the message says why and quotes nothing of it."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The last decisions about a pool, latest first, ready for JSON, and the number of malformed entries."""

    entries: tuple[dict[str, Any], ...]
    malformed: int


def read_decisions(raw: Sequence[str | bytes]) -> Decisions:
    """Read a pool's list of decisions, in its order."""
    entries = []
    for each in raw:
        try:
            entries.append(_decision(each))
        except MalformedEntry:
            continue
    return Decisions(entries=tuple(entries), malformed=len(raw) - len(entries))


def read_check(raw: str | bytes | None, *, now: float) -> str | None:
    """Return the version check's last status; None when there is none, or it is too old to count.

    The status is "unknown" when the entry is invalid.
    """
    if raw is None:
        return None
    try:
        memory = _json(raw)
    except MalformedEntry:
        return "unknown"
    if (
        not isinstance(memory, dict)
        or not isinstance(memory.get("status"), str)
        or not is_time(memory.get("looked_at"))
    ):
        return "unknown"
    return memory["status"] if now - memory["looked_at"] <= CHECK_COUNTS_FOR_S else None


def _decision(raw: str | bytes) -> dict[str, Any]:
    record = _json(raw)
    if not isinstance(record, dict) or not is_time(record.get("t")) or not isinstance(record.get("reason"), str):
        raise MalformedEntry("the decision has no time or no reason")
    figures = {name: record.get(name) for name in FIGURES}
    if not all(map(is_figure, figures.values())):
        raise MalformedEntry("a figure of the decision is not a count")
    texts = {name: record.get(name, []) for name in ("drain", "recall", "unreadable", "problems")}
    if not all(isinstance(text, list) and all(isinstance(each, str) for each in text) for text in texts.values()):
        raise MalformedEntry("a list of the decision holds more than text")
    orders = {name: len(texts[name]) for name in ("drain", "recall")}
    troubles = [*texts["unreadable"], *texts["problems"]]
    return {"t": record["t"], "reason": record["reason"], **figures, **orders, "troubles": troubles}


def _json(raw: str | bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise MalformedEntry("the entry is not JSON") from None
