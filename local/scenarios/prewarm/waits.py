"""How a scheduled run fared: when it was due, how long its tasks waited for a worker; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SUCCESS = "success"


@dataclass(frozen=True, kw_only=True)
class Fared:
    """Times in seconds, `due_at` since the epoch. `consuming_when_due`: workers that took messages when it was due.

    `waits`: from a task's message to its start; `tries`: the most that one of its tasks needed.
    """

    due_at: float
    waits: tuple[float, ...]
    tries: int
    consuming_when_due: int

    @property
    def mean_s(self) -> float:
        return sum(self.waits) / len(self.waits)

    def in_words(self) -> str:
        return (
            f"{len(self.waits)} tasks waited {self.mean_s:.1f} s on average, {max(self.waits):.1f} s at most; "
            f"{self.consuming_when_due} workers took tasks when it was due"
        )


def fared(run: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], *, consuming_when_due: int) -> Fared:
    """Of a run and its task instances, as Airflow's API describes them once the run has succeeded."""
    return Fared(
        due_at=due_at(run),
        waits=tuple(_seconds(each["start_date"]) - _seconds(each["queued_when"]) for each in instances),
        tries=max(int(each["try_number"]) for each in instances),
        consuming_when_due=consuming_when_due,
    )


def due_at(run: Mapping[str, Any]) -> float:
    """Seconds since the epoch."""
    return _seconds(run["run_after"])


def due_after(runs: Sequence[Mapping[str, Any]], at: float) -> Mapping[str, Any] | None:
    """The first scheduled run that was due after `at`, in seconds since the epoch, and has succeeded; None if none."""
    found = [run for run in runs if run["run_type"] == "scheduled" and run["state"] == SUCCESS and due_at(run) > at]
    return min(found, key=due_at, default=None)


def problems(cold: Fared, warm: Fared, *, slots: int) -> list[str]:
    """What did not hold, one line each: workers for all tasks take messages before a run that is forecast is due."""
    needed = -(-len(warm.waits) // slots)
    found = []
    if warm.consuming_when_due < needed:
        found.append(f"{warm.consuming_when_due} workers took tasks when the run was due, not {needed}")
    if warm.mean_s >= cold.mean_s:
        found.append("with the forecast tasks waited no shorter than without")
    if max(cold.tries, warm.tries) > 1:
        found.append("a task was tried again")
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
