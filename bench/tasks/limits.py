"""The limits of the figures, and whether they hold. A goal is a limit that `make bench` does not fail for yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.tables import TextTable

COLUMNS = ("what", "measured", "limit", "holds", "kind")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of one figure of `record`: the most that it may be, or the least if `is_floor`."""

    name: str
    what: str
    value: float
    unit: str = "of stock"
    is_floor: bool = False
    is_goal: bool = True

    def holds(self, measured: float) -> bool:
        return measured >= self.value if self.is_floor else measured <= self.value


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A limit with the figure; `measured` is None for one that could not be measured."""

    limit: Limit
    measured: float | None

    @property
    def holds(self) -> bool | None:
        return None if self.measured is None else self.limit.holds(self.measured)

    @property
    def is_failure(self) -> bool:
        """Whether `make bench` fails for it: an unknown figure does not hold either."""
        return not self.limit.is_goal and self.holds is not True

    def to_row(self) -> tuple[str, ...]:
        measured = "unknown" if self.measured is None else f"{self.measured:.3g} {self.limit.unit}".strip()
        most = f"{'at least' if self.limit.is_floor else 'at most'} {self.limit.value:g} {self.limit.unit}".strip()
        holds = {None: "?", True: "yes", False: "NO"}[self.holds]
        return (self.limit.what, measured, most, holds, "goal" if self.limit.is_goal else "limit")


LIMITS = (
    Limit(name="chain_cpu", what="processor time of an empty task, whole chain", value=0.8),
    Limit(name="worker_cpu_ms", what="its worker's part", value=75, unit="ms"),
    Limit(name="pandas_cpu", what="worker's part of a task whose file imports pandas", value=0.2),
    Limit(name="tasks_per_s_per_core_full", what="tasks a second and core", value=6, unit="", is_floor=True),
    Limit(name="tasks_per_s_full", what="tasks a second", value=2.7, is_floor=True),
    Limit(name="hold_p90_s", what="slot held after the task's end, p90", value=0.2, unit="s"),
    Limit(name="pss_idle_8", what="memory of a worker, 8 idle slots", value=0.6, is_goal=False),
    Limit(name="pss_idle_32", what="memory of a worker, 32 idle slots", value=0.3, is_goal=False),
    Limit(name="pss_busy_16", what="memory of a worker, 16 busy slots", value=0.9, is_goal=False),
    Limit(name="pss_scheduler", what="memory of the scheduler", value=1.1, is_goal=False),
    Limit(name="webserver_cpu_8", what="processors of the webserver, 8 running tasks", value=1.1, is_goal=False),
    Limit(name="trigger_to_end_s", what="trigger to the run's end, idle system", value=1.1, unit="s", is_goal=False),
    Limit(name="scheduler_idle_core", what="processors of an idle scheduler", value=0.05, unit="", is_goal=False),
    Limit(name="worker_start_s", what="worker's start until it consumes", value=2, unit="s"),
)


def verdicts(record: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict for each limit but those whose figures a trial leaves out."""
    return [Verdict(limit=limit, measured=record[limit.name]) for limit in LIMITS if limit.name in record]


def table(found: list[Verdict]) -> TextTable:
    return TextTable(title="Limits", columns=COLUMNS, rows=tuple(each.to_row() for each in found))
