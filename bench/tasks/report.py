"""Reports the result: tables for the terminal and the documentation, and JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.report.tables import TextTable, replace_figures
from bench.tasks import limits
from bench.tasks.figures import Result, record
from bench.tasks.sizes import Sizes
from project import paths

JSON_PATH = paths.STATE / "bench-tasks.json"
DOCS_PATH = paths.ROOT / "docs" / "benchmarks-tasks.md"
NOT_QUIET = "not quiet"
UNKNOWN = "unknown"


def _number(unit: str, digits: int, factor: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{value * factor:,.{digits}f} {unit}".strip()


MS, SECONDS, MIB, PER_S = _number("ms", 1), _number("s", 2), _number("MiB", 0), _number("", 2)
MS_A_SECOND = _number("ms/s", 1, 1000)
# What a figure's name means; the groups of a match fill the text.
ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    (r"chain_cpu", "processor time of an empty task, whole chain", MS),
    (r"worker_cpu", "the worker's part", MS),
    (r"cpu_(.+)", "part of {}", MS),
    (r"pandas_cpu", "worker's part of a task whose file imports pandas", MS),
    (r"many_tasks_cpu", "worker's part of a task whose file has many tasks", MS),
    (r"tasks_per_s_full", "tasks a second, full pool", PER_S),
    (r"tasks_per_s_headroom", "tasks a second, with headroom", PER_S),
    (r"hold_p90", "slot held after the task's end, p90", SECONDS),
    (r"trigger_to_start", "trigger to the task's start, idle system", SECONDS),
    (r"trigger_to_end", "trigger to the run's end, idle system", SECONDS),
    (r"worker_start", "worker's start until it consumes", SECONDS),
    (r"scheduler_idle", "processors of an idle scheduler", MS_A_SECOND),
    (r"webserver_cpu_(\d+)", "processors of the webserver, {} running tasks", MS_A_SECOND),
    (r"pss_scheduler", "memory of the scheduler", MIB),
    (r"pss_idle_(\d+)", "memory of a worker, {} idle slots", MIB),
    (r"pss_busy_(\d+)", "memory of a worker, {} busy slots", MIB),
    (r"retries", "retries of tasks", _number("", 0)),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of one run. `load` is the machine's load average before and after it."""

    result: Result
    sizes: Sizes
    load: tuple[float, float]

    @property
    def circumstances(self) -> str:
        """Return what the figures depend on; it names a machine that was not quiet."""
        load = "load average {:.1f} before, {:.1f} after".format(*self.load)
        noise = f"other programs took up to {self.result.other_share:.0%} of the machine"
        verdict = "" if self.result.is_quiet else f": **{NOT_QUIET}**, so it fails for no limit"
        bursts = f"turns of each system: {self.sizes.turns}, with bursts of {self.sizes.empty_tasks} empty tasks"
        return f"{os.cpu_count()} processors, {load}; {bursts}; {noise}{verdict}"

    def verdicts(self) -> list[limits.Verdict]:
        return limits.verdicts(record(self.result))

    @property
    def has_failed(self) -> bool:
        """Whether a limit that is no goal does not hold, on a quiet machine."""
        return self.result.is_quiet and any(each.is_failure for each in self.verdicts())

    def tables(self) -> tuple[TextTable, ...]:
        ratios = self.result.ratios
        names = sorted(self.result.product, key=_place)
        rows = (
            (
                _label(name),
                _cell(name, self.result.product[name]),
                _cell(name, self.result.stock.get(name)),
                "-" if ratios.get(name) is None else f"{ratios[name]:.2f}",
            )
            for name in names
        )
        columns = ("what", "product", "stock", "ratio")
        return (TextTable(title="Both systems", columns=columns, rows=tuple(rows)), limits.table(self.verdicts()))

    def to_json(self) -> str:
        """Return one object on one line."""
        return json.dumps(record(self.result))

    def write_json(self, path: Path = JSON_PATH) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record(self.result), indent=1) + "\n")

    def write_docs(self, path: Path = DOCS_PATH) -> None:
        """Replace the figures in the document. Raises ValueError when the document lacks its marks."""
        figures = [f"Measured with {self.circumstances}.", *(table.to_markdown() for table in self.tables())]
        replace_figures(path, "\n\n".join(figures))


def _match(name: str) -> tuple[int, re.Match[str]]:
    """Return the row of a figure. Raises KeyError for one without a row."""
    for place, (pattern, _, _) in enumerate(ROWS):
        if (found := re.fullmatch(pattern, name)) is not None:
            return place, found
    raise KeyError(name)


def _place(name: str) -> tuple[int, int, str]:
    place, found = _match(name)
    size = next((group for group in found.groups() if group.isdecimal()), "0")
    return place, int(size), name


def _label(name: str) -> str:
    place, found = _match(name)
    return ROWS[place][1].format(*found.groups())


def _cell(name: str, value: float | None) -> str:
    return UNKNOWN if value is None else ROWS[_match(name)[0]][2](value)
