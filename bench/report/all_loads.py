"""Compares all policies under all loads and in all scenarios; writes the figures and plots of docs/benchmarks.md.

python -m bench.report [--seeds N] [--days N] [--concurrency N ...] [--traces FOLDER] [--no-docs]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.loads.cron_load import DAYS
from bench.loads.load import Load, LoadError, read_load
from bench.report import policy_tables
from bench.report.claims import claims
from bench.report.options import PROCESSES, at_least_one, console
from bench.report.plots import draw_comparisons, draw_scenarios
from bench.report.suite import CONCURRENCIES, Comparison, Extent, ScenarioResult, Suite, run_suite
from bench.report.tables import COLUMNS, TextTable, Verdict, replace_figures
from project import paths

TRACES = "BENCH_TRACES"  # environment variable: a folder of traces
DEFAULT_TRACES = paths.ROOT.parent / "shared" / "traces"
DOCS_PATH = paths.ROOT / "docs" / "benchmarks.md"
PLOT_PATH = paths.ROOT / "docs" / "images" / "benchmarks.png"
SCENARIO_PLOT_PATH = paths.ROOT / "docs" / "images" / "benchmarks-troubles.png"
JSON_PATH = paths.STATE / "bench-policies.json"


def main(arguments: Sequence[str]) -> int:
    """Compare; return 0 if every claim holds, 1 if one does not, 2 if a trace cannot be read."""
    options = _parser().parse_args(arguments)
    terminal = console()
    try:
        traces = list(read_traces(options.traces))
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    extent = Extent(
        seeds=options.seeds,
        days=options.days,
        scenario_days=options.troubled_days,
        concurrencies=options.concurrency,
        processes=options.processes,
    )

    def show(title: str, comparison: Comparison) -> None:
        terminal.print(policy_tables.policy_table(title, comparison.results, base=comparison.base).to_rich())

    with terminal.status("") as status:
        suite = run_suite(traces, extent=extent, say=status.update, show=show)
    verdicts = claims(suite)
    terminal.print(_of_claims(verdicts).to_rich())
    _write_json(suite, verdicts)
    if not options.no_docs:
        write_docs(suite, verdicts)
    return 0 if all(each.holds for each in verdicts) else 1


def read_traces(folder: Path) -> Iterable[Load]:
    """Yield the loads of the folder by name; none if it does not exist.

    Raises LoadError when a trace cannot be read, or not be split.
    """
    for path in sorted((*folder.glob("*.csv"), *folder.glob("*.csv.gz"))):
        load = read_load(path)
        load.halves()
        yield load


def tables(suite: Suite) -> list[TextTable]:
    return [
        *(policy_tables.front_table(each) for each in suite.fronts),
        *(policy_tables.policy_table(each.title, each.results, base=each.base) for each in suite.comparisons),
        policy_tables.scenario_table("Adverse conditions", suite.scenarios),
        policy_tables.scenario_table("Other loads", suite.other_loads, with_reference=True),
    ]


def write_docs(suite: Suite, verdicts: Sequence[Verdict], *, path: Path = DOCS_PATH) -> None:
    """Write the figures and plots of the document. Raises ValueError when the document lacks its marks."""
    draw_comparisons(suite.comparisons, PLOT_PATH)
    draw_scenarios(suite.scenarios, SCENARIO_PLOT_PATH)
    *compared, troubled, others = (table.to_markdown() for table in tables(suite))
    # Processor time is left out: it depends on the machine, and the same seeds must give the same document.
    steady = [each for each in verdicts if each.unit != "s" or "processor" not in each.what]
    replace_figures(
        path,
        "\n\n".join(
            [
                f"Means of {suite.seeds} seeds. {_of_claims(steady).to_markdown()}",
                f"![cost against wait](images/{PLOT_PATH.name})",
                *compared,
                f"![adverse conditions](images/{SCENARIO_PLOT_PATH.name})",
                troubled,
                others,
            ]
        ),
    )


def _of_claims(verdicts: Sequence[Verdict]) -> TextTable:
    return TextTable(title="Claims", columns=COLUMNS, rows=tuple(each.to_row() for each in verdicts))


def _write_json(suite: Suite, verdicts: Sequence[Verdict]) -> None:
    record = {
        "seeds": suite.seeds,
        "comparisons": [
            {"load": each.load, "slots": each.slots, "results": [result.to_record() for result in each.results]}
            for each in suite.comparisons
        ],
        "fronts": [
            {"load": each.load, "slots": each.slots, "results": [result.to_record() for result in each.results]}
            for each in suite.fronts
        ],
        "troubles": _records(suite.scenarios),
        "others": _records(suite.other_loads),
        "claims": [{**asdict(each), "holds": each.holds} for each in verdicts],
    }
    JSON_PATH.parent.mkdir(parents=True, exist_ok=True)
    JSON_PATH.write_text(json.dumps(record, indent=1) + "\n")


def _records(scenarios: Sequence[ScenarioResult]) -> list[dict[str, object]]:
    return [
        {"name": each.name, "results": [result.to_record() for result in each.comparison.results]} for each in scenarios
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description="Compare policies under all loads and in all scenarios."
    )
    parser.add_argument("--traces", type=Path, default=Path(os.environ.get(TRACES) or DEFAULT_TRACES))
    parser.add_argument(
        "--seeds", type=at_least_one, default=3, help="number of seeds; the figures are means over them"
    )
    parser.add_argument("--days", type=at_least_one, default=DAYS, help="days of the generated load")
    parser.add_argument(
        "--troubled-days", type=at_least_one, default=2, help="days of the generated load in the scenarios"
    )
    parser.add_argument(
        "--concurrency",
        type=at_least_one,
        nargs="+",
        default=CONCURRENCIES,
        help="slots of a worker; several values make several comparisons",
    )
    parser.add_argument("--processes", type=at_least_one, default=PROCESSES, help="trials at a time")
    parser.add_argument("--no-docs", action="store_true", help="do not write the documentation")
    return parser
