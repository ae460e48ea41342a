"""The command `python -m bench`: compares all policies under one load."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.loads.cron_load import DAYS, cron_load
from bench.loads.load import Load, LoadError, read_load
from bench.policies.catalog import MWAA_TODAY, makers_for
from bench.policies.experiment import compare
from bench.report import policy_tables
from bench.report.options import PROCESSES, at_least_one, at_least_zero
from bench.sim.trial import Setting


def main(arguments: Sequence[str]) -> int:
    """Compare; return 0, or 2 with one line on stderr if the trace is no load."""
    options = _parser().parse_args(arguments)
    try:
        load = _load(options)
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    setting = Setting(slots=options.concurrency, minimum=options.minimum, maximum=options.maximum)
    results = compare(
        makers_for(load),
        load=load,
        setting=setting,
        seeds=range(1, options.seeds + 1),
        processes=PROCESSES,
    )
    if options.json:
        print(json.dumps([result.to_record() for result in results], indent=1))
    else:
        title = f"{load.name}, {options.concurrency} slots a worker"
        base = next(result for result in results if result.policy == MWAA_TODAY)
        print(policy_tables.policy_table(title, results, base=base).to_markdown())
    return 0


def _load(options: argparse.Namespace) -> Load:
    if options.trace is not None:
        return read_load(options.trace, queue=options.queue)
    return cron_load(days=options.days)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compares scaling policies by simulation.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", type=Path, help="CSV with arrival_s,duration_s, or an export of task_instance")
    source.add_argument("--load", choices=["cron"], help="generate a load: 200 DAGs with known schedules")
    parser.add_argument("--queue", help="take only the tasks of this queue (export of task_instance)")
    parser.add_argument("--days", type=at_least_one, default=DAYS, help="days of the generated load")
    parser.add_argument("--concurrency", type=at_least_one, default=16, help="slots of a worker")
    parser.add_argument(
        "--seeds", type=at_least_one, default=3, help="number of seeds; the figures are means over them"
    )
    parser.add_argument(
        "--minimum", type=at_least_zero, default=0, help="minimum number of workers (the bounds assume 0)"
    )
    parser.add_argument("--maximum", type=at_least_one, default=1000, help="maximum number of workers")
    parser.add_argument("--json", action="store_true", help="print a JSON array with one object a policy")
    return parser
