"""The commands of `python -m bench`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from bench import table
from bench.experiment import compare
from bench.load import read_load
from bench.policies import MAKERS, MWAA_TODAY
from bench.trial import Setting


def main(arguments: Sequence[str]) -> int:
    """0 when done; a file that cannot be read or understood ends with a message."""
    options = _parser().parse_args(arguments)
    load = read_load(options.trace, queue=options.queue)
    setting = Setting(slots=options.concurrency, minimum=options.minimum, maximum=options.maximum)
    results = compare(
        list(MAKERS),
        load=load,
        setting=setting,
        seeds=range(1, options.seeds + 1),
        processes=min(2, os.cpu_count() or 1),
    )
    if options.json:
        print(json.dumps([result.to_record() for result in results], indent=1))
    else:
        base = next(result for result in results if result.policy == MWAA_TODAY)
        print(table.markdown(table.HEAD, table.rows(results, base=base)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compares scaling policies by simulation.")
    parser.add_argument("--trace", type=Path, required=True, help="arrival_s,duration_s, or an export of task_instance")
    parser.add_argument("--queue", help="of an export: the tasks of this queue only")
    parser.add_argument("--concurrency", type=int, default=16, help="slots a worker")
    parser.add_argument("--seeds", type=int, default=3, help="how often each policy runs")
    parser.add_argument("--minimum", type=int, default=0, help="workers that always run; the bounds know no minimum")
    parser.add_argument("--maximum", type=int, default=1000, help="workers that may run")
    parser.add_argument("--json", action="store_true", help="print an array with an object a policy")
    return parser
