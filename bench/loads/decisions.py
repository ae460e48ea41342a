"""Reads the autoscaler's stored decisions as a load: what arrived and ended between its looks."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loads.load import Load, LoadError, load_of, read_bytes

NUMBERS = ("t", "queued", "active")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look saw: its time in seconds since the epoch, and tasks."""

    at: float
    queued: int
    active: int


def holds_decisions(path: Path) -> bool:
    """Whether it is JSON, by its first character. Raises LoadError."""
    return read_bytes(path).lstrip()[:1] in (b"{", b"[")


def read_decisions(path: Path, *, pool: str | None = None) -> Load:
    """`fleet:decisions:<pool>`: a JSON object a line, or an array of them, in any order.

    Between two looks the net change counts: tasks that came and went unseen are missing. Whoever started first is taken
    to end first. Tasks that ran already at the first look, or run still at the last, are left out. Raises LoadError.
    """
    seen = sorted(_entries(path, pool), key=lambda look: look.at)
    if len(seen) < 2:
        raise LoadError(f"{path.name} has {len(seen)} decisions with their inputs: at least two are needed")
    return load_of(path.name.partition(".")[0], _tasks(seen))


def _tasks(seen: Sequence[Seen]) -> list[tuple[float, float]]:
    """(arrival, duration) of each task that was seen to come and to end."""
    before = seen[0]
    # None for tasks that were there before: nobody knows since when.
    waiting: deque[float | None] = deque([None] * before.queued)
    running: deque[tuple[float | None, float]] = deque([(None, before.at)] * before.active)
    tasks = []
    for look in seen[1:]:
        change = look.queued + look.active - before.queued - before.active
        waiting.extend([look.at] * max(0, change))
        for _ in range(min(len(running), max(0, -change))):
            arrived, started = running.popleft()
            if arrived is not None:
                tasks.append((arrived, look.at - started))
        while len(waiting) > look.queued:
            running.append((waiting.popleft(), look.at))
        before = look
    return tasks


def _entries(path: Path, pool: str | None) -> list[Seen]:
    entries = [(where, entry) for where, entry in _json(path) if pool is None or entry.get("pool") == pool]
    pools = {str(entry.get("pool")) for _, entry in entries}
    if len(pools) > 1:
        raise LoadError(f"{path.name} has decisions of several pools, name one: {', '.join(sorted(pools))}")
    # A look that could not read its inputs saw nothing.
    return [_seen(entry, where) for where, entry in entries if "queued" in entry and "active" in entry]


def _json(path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError:
        raise LoadError(f"{path.name} is not text") from None
    if text.lstrip().startswith("["):
        parsed = _parse(text, path.name)
        found = [(f"{path.name}, entry {number}", entry) for number, entry in enumerate(parsed, start=1)]
    else:
        lines = enumerate(text.splitlines(), start=1)
        found = [(where := f"{path.name}, line {n}", _parse(line, where)) for n, line in lines if line.strip()]
    for where, entry in found:
        if not isinstance(entry, dict):
            raise LoadError(f"{where} is no decision")
    return found


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise LoadError(f"{where} is not JSON") from None


def _seen(entry: dict[str, Any], where: str) -> Seen:
    for name in NUMBERS:
        if type(entry.get(name)) not in (int, float) or not 0 <= entry[name] < float("inf"):
            raise LoadError(f"{where}: {name} is {entry.get(name)!r}, not a number")
    return Seen(at=float(entry["t"]), queued=int(entry["queued"]), active=int(entry["active"]))
