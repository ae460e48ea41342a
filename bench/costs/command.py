"""Simulates a history with an environment's settings and prints what its DAGs and their owners cost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.costs.settings import Settings, read_settings
from bench.costs.simulated import days_of
from bench.costs.tables import show, show_difference
from bench.loads.load import LoadError
from bench.loads.payers import PaidTask, read_payers, unserved
from bench.report.options import seconds
from bench.sim.boots import MEDIAN_S, P95_S, Boots
from cfn.template import TemplateError
from fleet.costs import DAY_S
from fleet.statement import Statement, state
from project.errors import CommandError

WIDTH = 80  # characters, if the output is no terminal
SEED = 1
NAMED = 3


def main(arguments: Sequence[str]) -> int:
    """Simulate and print. Return 1, after one line, when the history, an environment or a revision cannot be read."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        _cost(options, console)
    except (CommandError, TemplateError, LoadError) as error:
        print(f"cost: {error}", file=sys.stderr)
        return 1
    return 0


def _cost(options: argparse.Namespace, console: Console) -> None:
    boots = _boots(options)
    tasks = read_payers(options.history)
    settings = read_settings(options.env, options.rev)
    days = _days(tasks)
    first = _statement(tasks, settings, boots, console)
    what = f"{options.history.name}: {len(tasks):,} tasks in {days:.1f} days"
    console.print(f"{what}, simulated with the settings of {settings.name}.", markup=False)
    if options.vs is None and options.vs_rev is None:
        show(first, days=days, console=console)
        return
    other = read_settings(options.vs or options.env, options.vs_rev)
    second = _statement(tasks, other, boots, console)
    show_difference(first, second, names=(settings.name, other.name), days=days, console=console)


def _statement(tasks: Sequence[PaidTask], settings: Settings, boots: Boots, console: Console) -> Statement:
    queues = [queue for each in settings.pools for queue in each.pool.queues]
    served = [task for task in tasks if task.queue in set(queues)]
    if not served:
        raise LoadError(f"no pool of {settings.name} serves a queue of the history: {', '.join(queues)}")
    if others := unserved(tasks, queues):
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        console.print(
            f"Left out: {len(tasks) - len(served):,} tasks of queues that no pool of {settings.name} serves: "
            f"{', '.join(others[:NAMED])}{more}.",
            markup=False,
        )
    with console.status(f"simulating {len(served):,} tasks with the settings of {settings.name}"):
        return state(days_of(served, settings, boots=boots, seed=SEED))


def _days(tasks: Sequence[PaidTask]) -> float:
    """Return the history's length: at least a day, so that a day's cost is never a multiple of it."""
    return max(1.0, (max(task.queued + task.ran_s for task in tasks) - tasks[0].queued) / DAY_S)


def _boots(options: argparse.Namespace) -> Boots:
    if options.boot_p95 < options.boot_median:
        raise LoadError(f"--boot-p95 {options.boot_p95:g} is below --boot-median {options.boot_median:g}")
    return Boots(median_s=options.boot_median, p95_s=options.boot_p95)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("history", type=Path, help="CSV export of task_instance with the DAGs, see docs/replay.md")
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument("--rev", help="git revision; default: the checkout")
    parser.add_argument("--vs", help="another environment to compare with")
    parser.add_argument("--vs-rev", help="another revision to compare with")
    parser.add_argument("--boot-median", type=seconds, default=MEDIAN_S, help="median of a worker's boot time")
    parser.add_argument("--boot-p95", type=seconds, default=P95_S, help="95 %% quantile of the boot time")
    return parser
