"""Reports the measurements: tables for the terminal and the documentation, and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.micro.execution_api.budget import Budget
from bench.micro.execution_api.measure import TASK_S, TASKS, Figures, Served, every_second, of_today
from bench.micro.execution_api.sizes import Need, need
from bench.micro.machine import QUIET_SHARE
from bench.report.tables import COLUMNS, TextTable, Verdict, replace_figures
from project import paths

JSON_PATH = paths.STATE / "bench-execution-api.json"
DOCS_PATH = paths.ROOT / "docs" / "benchmarks-execution-api.md"
RUNNING = (100, 1_000, 8_000)
LENGTHS_S = {"1 min": 60.0, "10 min": 600.0, "2 h": 7200.0}
PROCESSES_OF_A_COPY = 4  # of an ECS task with 4 vCPUs
# The limits hold on a quiet machine of two processors; the cost of a request hardly depends on other work.
MOST_BEAT_MS = 12.0
MOST_P95_MS = 150.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of one run. `load` is the machine's load average before and after it."""

    figures: Figures
    budgets: Sequence[Budget]
    load: tuple[float, float]

    @property
    def is_quiet(self) -> bool:
        return self.figures.other_share <= QUIET_SHARE

    @property
    def circumstances(self) -> str:
        noise = f"other programs took up to {self.figures.other_share:.0%} of the machine"
        verdict = "" if self.is_quiet else ", so latencies are much too high and processor times somewhat"
        load = "load average {:.1f} before, {:.1f} after".format(*self.load)
        return f"{os.cpu_count()} processors, {load}; {noise}{verdict}"

    def verdicts(self) -> list[Verdict]:
        """Return the limits; a latency is judged on a quiet machine only."""
        found = [
            Verdict(what="processor time of a heartbeat", measured=self._beat_ms, limit=MOST_BEAT_MS, unit="ms"),
            *(
                Verdict(what=f"connections at WorkerMax, {each.environment}", measured=each.needed, limit=each.allowed)
                for each in self.budgets
            ),
        ]
        if self.is_quiet:
            p95_ms = self.figures.now.running.p95_ms
            found.append(Verdict(what=f"p95 with {TASKS} tasks", measured=p95_ms, limit=MOST_P95_MS, unit="ms"))
        return found

    def tables(self) -> tuple[TextTable, ...]:
        served = (self.figures.before, self.figures.now)
        limits = TextTable(title="Limits", columns=COLUMNS, rows=tuple(each.to_row() for each in self.verdicts()))
        return (_full_speed(served), _running(served), self._sizes(), self._connections(), limits)

    def write_json(self, path: Path = JSON_PATH) -> None:
        """Write every figure and all verdicts."""
        record = {
            "is_quiet": self.is_quiet,
            "load_average": self.load,
            **asdict(self.figures),
            "needs": [
                {"running": running, "task_s": task_s, "before": asdict(before), "now": asdict(now)}
                for running, task_s, before, now in self._needs()
            ],
            "budgets": [asdict(each) for each in self.budgets],
            "limits": [{**asdict(each), "holds": each.holds} for each in self.verdicts()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")

    def write_docs(self, path: Path = DOCS_PATH) -> None:
        """Replace the figures in the document. Raises ValueError when the document lacks its marks."""
        figures = [f"Measured with {self.circumstances}.", *(table.to_markdown() for table in self.tables())]
        replace_figures(path, "\n\n".join(figures))

    @property
    def _beat_ms(self) -> float:
        return min(self.figures.before.beats.cpu_ms, self.figures.now.beats.cpu_ms)

    def _needs(self) -> list[tuple[int, float, Need, Need]]:
        costs = {"beat_ms": self._beat_ms, "cycle_ms": self.figures.cycle_ms}
        return [
            (
                running,
                task_s,
                need(running, task_s=task_s, interval_s=every_second, processes=1, **costs),
                need(running, task_s=task_s, interval_s=of_today, processes=PROCESSES_OF_A_COPY, **costs),
            )
            for running in RUNNING
            for task_s in LENGTHS_S.values()
        ]

    def _sizes(self) -> TextTable:
        names = {seconds: name for name, seconds in LENGTHS_S.items()}
        return TextTable(
            title="What running tasks need: heartbeats a second, processors, copies of 4 vCPUs. Before: a heartbeat a "
            "second, one process a copy",
            columns=("tasks", "length", "beats before", "now", "cores before", "now", "copies before", "now"),
            rows=tuple(
                (
                    f"{running:,}",
                    names[task_s],
                    f"{before.beats_per_s:,.0f}",
                    f"{now.beats_per_s:,.0f}",
                    f"{before.cores:.1f}",
                    f"{now.cores:.1f}",
                    f"{before.copies}",
                    f"{now.copies}",
                )
                for running, task_s, before, now in self._needs()
            ),
        )

    def _connections(self) -> TextTable:
        return TextTable(
            title="Connections to the database at WorkerMax and AirflowMax, in a deployment",
            columns=("environment", "tasks", "copies", "processes a copy", "connections", "database allows"),
            rows=tuple(
                (
                    each.environment,
                    f"{each.slots}",
                    f"{each.copies}",
                    f"{each.processes}",
                    f"{each.needed}",
                    f"{each.allowed}",
                )
                for each in self.budgets
            ),
        )


def _full_speed(served: Sequence[Served]) -> TextTable:
    return TextTable(
        title=f"Heartbeats of {TASKS} tasks as fast as they are answered",
        columns=("processes", "a second", "a second and core", "ms", "ms of Postgres", "MiB a process", "connections"),
        rows=tuple(
            (
                f"{each.processes}",
                f"{each.beats.per_s:.0f}",
                f"{each.beats.per_core:.0f}",
                f"{each.beats.cpu_ms:.1f}",
                f"{each.beats.database_cpu_ms:.1f}",
                f"{max(each.beats.memory_mib):.0f}",
                f"{each.beats.connections}",
            )
            for each in served
        ),
    )


def _running(served: Sequence[Served]) -> TextTable:
    return TextTable(
        title=f"{TASKS} tasks of {TASK_S:.0f} s run; latency of the Execution API in ms",
        columns=("heartbeats", "processes", "requests a second", "median", "p95", "slowest", "cores"),
        rows=tuple(
            (
                name,
                f"{each.processes}",
                f"{each.running.per_s:.1f}",
                f"{each.running.p50_ms:.1f}",
                f"{each.running.p95_ms:.1f}",
                f"{each.running.slowest_ms:.0f}",
                f"{each.running.cores:.2f}",
            )
            for name, each in zip(("each second (before)", "by the task's age (now)"), served, strict=True)
        ),
    )
