"""Reads the autoscaler's stored decisions as a load: which tasks arrived and ended between its ticks."""

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
class TickInputs:
    """The inputs of one tick: its time in seconds since the epoch, and the numbers of queued and active tasks."""

    at: float
    queued: int
    active: int


def holds_decisions(path: Path) -> bool:
    """Return whether the file is JSON, by its first character. Raises LoadError when the file cannot be read."""
    return read_bytes(path).lstrip()[:1] in (b"{", b"[")


def read_decisions(path: Path, *, pool: str | None = None) -> Load:
    """Read the entries of `fleet:decisions:<pool>`: one JSON object a line, or an array of them, in any order.

    Only the net change between two ticks is known, so tasks that arrived and ended in between are missing. Tasks are
    assumed to end in the order in which they started. Tasks that ran before the first tick or after the last are left
    out.

    Raises LoadError when the file cannot be read or has too few decisions.
    """
    ticks = sorted(_entries(path, pool), key=lambda tick: tick.at)
    if len(ticks) < 2:
        raise LoadError(f"{path.name} has {len(ticks)} decisions with their inputs: at least 2 are needed")
    return load_of(path.name.partition(".")[0], _tasks(ticks))


def _tasks(ticks: Sequence[TickInputs]) -> list[tuple[float, float]]:
    """Return (arrival, duration) of each task that arrived and ended between the first tick and the last."""
    before = ticks[0]
    # None for tasks that were there before the first tick: their arrival is unknown.
    waiting: deque[float | None] = deque([None] * before.queued)
    running: deque[tuple[float | None, float]] = deque([(None, before.at)] * before.active)
    tasks = []
    for tick in ticks[1:]:
        change = tick.queued + tick.active - before.queued - before.active
        waiting.extend([tick.at] * max(0, change))
        for _ in range(min(len(running), max(0, -change))):
            arrived, started = running.popleft()
            if arrived is not None:
                tasks.append((arrived, tick.at - started))
        while len(waiting) > tick.queued:
            running.append((waiting.popleft(), tick.at))
        before = tick
    return tasks


def _entries(path: Path, pool: str | None) -> list[TickInputs]:
    entries = [(where, entry) for where, entry in _json(path) if pool is None or entry.get("pool") == pool]
    pools = {str(entry.get("pool")) for _, entry in entries}
    if len(pools) > 1:
        raise LoadError(
            f"{path.name} has decisions of several pools, choose one with --queue: {', '.join(sorted(pools))}"
        )
    # A tick that could not read its inputs has no numbers.
    return [_tick_inputs(entry, where) for where, entry in entries if "queued" in entry and "active" in entry]


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
            raise LoadError(f"{where} is not a decision")
    return found


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise LoadError(f"{where} is not JSON") from None


def _tick_inputs(entry: dict[str, Any], where: str) -> TickInputs:
    for name in NUMBERS:
        if type(entry.get(name)) not in (int, float) or not 0 <= entry[name] < float("inf"):
            raise LoadError(f"{where}: {name} is {entry.get(name)!r}, not a number")
    return TickInputs(at=float(entry["t"]), queued=int(entry["queued"]), active=int(entry["active"]))
