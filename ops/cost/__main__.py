"""What a month of an environment costs, by resource: `python -m ops.cost --env ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from cfn.template import TemplateError
from ops.cost.compare import compare, show
from ops.cost.estimate import NoPrice, estimate
from ops.cost.load import HOURS_A_WEEK, IDLE, Load
from ops.cost.resolved import read_template
from ops.cost.telemetry import choices
from project.errors import CommandError


def main(arguments: Sequence[str]) -> int:
    """Print the costs. Return exit code 1, after one line, when an environment, a revision or a price is missing."""
    options = _parser().parse_args(arguments)
    try:
        _cost(options, Console())
    except (CommandError, TemplateError, NoPrice) as error:
        print(f"cost: {error}", file=sys.stderr)
        return 1
    return 0


def _cost(options: argparse.Namespace, console: Console) -> None:
    """Compare the environment idle and under the load; with another environment or revision, both under the load."""
    load = Load(
        tasks_a_day=options.tasks,
        task_s=options.task_seconds,
        deployments_a_month=options.deployments,
        awake_hours_a_week=options.awake_hours,
    )
    of_load = f"{load.tasks_a_day:,} tasks a day of {load.task_s:g} s, {load.deployments_a_month} deployments a month"
    if load.awake < 1:
        of_load += f", awake for {load.awake_hours_a_week:g} hours a week"
    template = read_template(options.env, options.rev)
    if options.vs is None and options.vs_rev is None:
        rows = compare(estimate(template, load=IDLE), estimate(template, load=load))
        show(rows, left=f"{options.env}, idle", right=of_load, with_difference=False, console=console)
        if each := choices(template, load=load):
            console.print("Of that, by choice: " + ", ".join(f"{what} {usd:,.2f}" for what, usd in each.items()) + ".")
        return
    other, other_rev = options.vs or options.env, options.vs_rev
    rows = compare(estimate(template, load=load), estimate(read_template(other, other_rev), load=load))
    console.print(f"Both with {of_load}.")
    names = [f"{env} {rev or ''}".strip() for env, rev in ((options.env, options.rev), (other, other_rev))]
    show(rows, left=names[0], right=names[1], with_difference=True, console=console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.cost", description=__doc__)
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument("--rev", help="git revision; default: the checkout")
    parser.add_argument("--vs", help="another environment to compare with")
    parser.add_argument("--vs-rev", help="another revision to compare with")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks on an average day")
    parser.add_argument("--task-seconds", type=float, default=60.0, help="average seconds that a task runs")
    parser.add_argument("--deployments", type=int, default=20, help="deployments of the image a month")
    parser.add_argument(
        "--awake-hours",
        type=_hours_a_week,
        default=float(HOURS_A_WEEK),
        help="hours a week in which the environment is awake",
    )
    return parser


def _hours_a_week(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= HOURS_A_WEEK:
        raise argparse.ArgumentTypeError(f"it must be more than 0 and at most {HOURS_A_WEEK}, the hours of a week")
    return hours


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
