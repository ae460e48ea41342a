"""Simulates an operator's own history under candidate settings and recommends one.

python -m bench.report replay HISTORY [--wait SECONDS] [--concurrency N] ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.loads.decisions import holds_decisions, read_decisions
from bench.loads.load import Load, LoadError, read_load
from bench.policies.candidates import NAMES, candidates, recommended
from bench.policies.catalog import MAKERS, MWAA_TODAY
from bench.policies.experiment import compare
from bench.report import policy_tables
from bench.report.options import PROCESSES, at_least_one, at_least_zero, console, seconds
from bench.report.plots import draw_candidates
from bench.sim.boots import MEDIAN_S, P95_S, Boots
from bench.sim.trial import Setting
from project import paths

PLOT_PATH = paths.STATE / "replay.png"


def main(arguments: Sequence[str]) -> int:
    """Simulate and recommend; return 0, or 2 with one line on stderr if the history or an option is invalid."""
    options = _parser().parse_args(arguments)
    try:
        load = read_history(options.history, of=options.queue)
        setting = _setting(options)
    except LoadError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    chosen = candidates(minimum=options.minimum, maximum=options.maximum)
    makers = {candidate.name: candidate.make for candidate in chosen} | {MWAA_TODAY: MAKERS[MWAA_TODAY]}
    terminal = console()
    with terminal.status(f"simulating {len(load):,} tasks with {len(makers)} settings"):
        results = compare(
            makers,
            load=load,
            setting=setting,
            seeds=range(1, options.seeds + 1),
            processes=PROCESSES,
        )
    *ours, base = results
    best = recommended(ours, wait_s=options.wait)
    draw_candidates(ours, base=base, best=best, wait_s=options.wait, path=options.plot)
    title = f"{load.name}: {len(load):,} tasks, {load.arrivals[-1] / 86_400:.1f} days, {setting.slots} slots a worker"
    labels = {candidate.name: candidate.values for candidate in chosen}
    terminal.print(policy_tables.replay_table(title, results, base=base, labels=labels).to_rich())
    print(f"A setting: {NAMES}.")
    limit = f"within the limit of {options.wait:.0f} s"
    met = limit if best.wait_p95 <= options.wait else f"the shortest of all settings, but NOT {limit}"
    print(
        f"Recommended: {best.policy}\n"
        f"{best.worker_hours:,.0f} worker-hours; 95 % of the tasks wait at most {best.wait_p95:.0f} s, "
        f"{met}. Plot: {options.plot}"
    )
    return 0


def read_history(path: Path, *, of: str | None) -> Load:
    """Read an export of task_instance (`of` is a queue) or stored decisions (`of` is a pool).

    Raises LoadError when the file is no load.
    """
    return read_decisions(path, pool=of) if holds_decisions(path) else read_load(path, queue=of)


def _setting(options: argparse.Namespace) -> Setting:
    if options.minimum > options.maximum:
        raise LoadError(f"--minimum {options.minimum} is above --maximum {options.maximum}")
    if options.boot_p95 < options.boot_median:
        raise LoadError(f"--boot-p95 {options.boot_p95:g} is below --boot-median {options.boot_median:g}")
    return Setting(
        slots=options.concurrency,
        minimum=options.minimum,
        maximum=options.maximum,
        boots=Boots(median_s=options.boot_median, p95_s=options.boot_p95),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report replay", description="Find the settings that suit your own history."
    )
    parser.add_argument(
        "history", type=Path, help="CSV export of task_instance, or the entries of fleet:decisions:<pool>"
    )
    parser.add_argument("--queue", help="take only the tasks of this queue, or the decisions of this pool")
    parser.add_argument("--wait", type=seconds, default=60.0, help="seconds that 95 %% of the tasks may wait at most")
    parser.add_argument("--concurrency", type=at_least_one, default=16, help="slots of a worker")
    parser.add_argument(
        "--minimum", type=at_least_zero, default=0, help="the smallest minimum number of workers to try"
    )
    parser.add_argument("--maximum", type=at_least_one, default=1000, help="maximum number of workers")
    parser.add_argument(
        "--boot-median", type=seconds, default=MEDIAN_S, help="median of a worker's boot time, in seconds"
    )
    parser.add_argument("--boot-p95", type=seconds, default=P95_S, help="95 %% quantile of the boot time, in seconds")
    parser.add_argument(
        "--seeds", type=at_least_one, default=3, help="number of seeds; the figures are means over them"
    )
    parser.add_argument("--plot", type=Path, default=PLOT_PATH, help="file for the plot")
    return parser
