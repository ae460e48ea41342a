"""Reports the measurements: tables for the terminal and the documentation, and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.micro.function.figures import Cold, Measurements, SceneFigures, best_median
from bench.micro.function.package import Package
from bench.report.tables import COLUMNS, TextTable, Verdict, replace_figures
from project import paths

JSON_PATH = paths.STATE / "bench-function.json"
DOCS_PATH = paths.ROOT / "docs" / "benchmarks-function.md"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of one run. `load` is the machine's load average before and after it."""

    package: Package
    measured: Measurements
    verdicts: Sequence[Verdict]
    load: tuple[float, float]

    def tables(self) -> tuple[TextTable, ...]:
        return (_of_scenes(self.measured.scenes), _of_cold_starts(self.measured.cold), _of_limits(self.verdicts))

    @property
    def circumstances(self) -> str:
        kind = "Lambda's version" if self.package.is_lambdas_python else "not Lambda's version, which is not installed"
        load = "load average {:.1f} before, {:.1f} after".format(*self.load)
        return f"Python {self.package.version} ({kind}), {os.cpu_count()} processors, {load}"

    def write_json(self, path: Path = JSON_PATH) -> None:
        """Write every measured value and all verdicts."""
        record = {
            "python": self.package.version,
            "is_lambdas_python": self.package.is_lambdas_python,
            "load_average": self.load,
            "package_bytes": self.package.size,
            "limits": [{**asdict(each), "holds": each.holds} for each in self.verdicts],
            "scenes": [each.to_record() for each in self.measured.scenes],
            "cold_starts": [[start.to_record() for start in batch] for batch in self.measured.cold],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")

    def write_docs(self, path: Path = DOCS_PATH) -> None:
        """Replace the figures in the document. Raises ValueError when the document lacks its marks."""
        figures = [f"Measured with {self.circumstances}.", *(table.to_markdown() for table in self.tables())]
        replace_figures(path, "\n\n".join(figures))


def _of_scenes(scenes: Sequence[SceneFigures]) -> TextTable:
    return TextTable(
        title="Warm ticks: time of the function and Redis, processor time, and wait for AWS, in ms",
        columns=(
            "what happens",
            "queued",
            "members",
            "median",
            "p95",
            "CPU",
            "ratio",
            "AWS",
            "calls",
            "commands",
        ),
        rows=tuple(
            (
                each.scene.name,
                f"{each.scene.queued:,}",
                f"{each.scene.members}",
                f"{each.own_ms:.1f}",
                f"{each.own_p95_ms:.1f}",
                f"{each.cpu_ms:.1f}",
                f"{each.ratio:.2f}",
                f"{each.aws_ms:.1f}",
                f"{len(each.calls)}",
                f"{sum(each.commands.values())}",
            )
            for each in scenes
        ),
    )


def _of_cold_starts(cold: Sequence[Sequence[Cold]]) -> TextTable:
    parts = {
        "import": [[start.import_ms for start in batch] for batch in cold],
        "processor time of the import": [[start.import_cpu_ms for start in batch] for batch in cold],
        "settings and clients": [[start.wiring_ms for start in batch] for batch in cold],
        "first tick": [[start.first_tick_ms for start in batch] for batch in cold],
    }
    return TextTable(
        title="Cold starts, in ms",
        columns=("part", "median", "slowest"),
        rows=tuple(
            (name, f"{best_median(batches):.0f}", f"{max(map(max, batches)):.0f}") for name, batches in parts.items()
        ),
    )


def _of_limits(verdicts: Sequence[Verdict]) -> TextTable:
    return TextTable(title="Limits", columns=COLUMNS, rows=tuple(each.to_row() for each in verdicts))
