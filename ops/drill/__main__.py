"""Restore the newest snapshot of an environment's database beside it, migrate it with the running release, examine it.

Exit 0 when the copy is whole, 1 when it lacks something or the copy could not be removed, 2 when that is not known.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import LOCAL, DeployedStack, FunctionFailed, find_stack
from ops.drill.restored import NotRemoved, NotRestored, Rds
from ops.ecs_task import SCHEDULE, EcsTask, NotRun
from project.errors import CommandError

DATABASE = "Database"  # its logical id
WHOLE, BROKEN, UNKNOWN_CODE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.drill", description=__doc__)
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument(
        "--wait", type=float, default=5400.0, metavar="SECONDS", help="longest wait for RDS; default: %(default)g"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return drill(find_stack(options.env), is_local=options.env == LOCAL, seconds=options.wait, say=_say)
    except NotRemoved as error:
        print(f"NOT REMOVED: {error}", file=sys.stderr)
        return BROKEN
    except KeyboardInterrupt:
        print("interrupted; the copy is removed", file=sys.stderr)
        return UNKNOWN_CODE
    except (CommandError, FunctionFailed, NotRestored, NotRun, KeyError, BotoCoreError, ClientError) as error:
        print(f"unknown: {error}", file=sys.stderr)
        return UNKNOWN_CODE


def drill(stack: DeployedStack, *, is_local: bool, seconds: float, say: Callable[[str], None]) -> int:
    """Carry it out; return the exit code. Raises NotRestored, NotRemoved, NotRun, and what boto3 raises."""
    resource = stack.cloudformation.describe_stack_resource(StackName=stack.name, LogicalResourceId=DATABASE)
    rds = Rds(client=stack.client, identifier=resource["StackResourceDetail"]["PhysicalResourceId"], say=say)
    task = EcsTask(client=stack.client, schedule=stack.output(SCHEDULE), say=say)
    if is_local:
        rds.take_snapshot()  # no one makes one each day on this machine
    say("counting what the database has")
    expected = answer_of(task.run({}, command=["drill"], seconds=seconds).log)["counts"]
    with rds.beside(rds.newest_snapshot(), seconds=seconds) as address:
        say("migrating and examining the copy")
        variables = {
            "DATABASE_HOST": address.host,
            "DATABASE_PORT": str(address.port),
            "DRILL_EXPECTED": json.dumps(expected),
        }
        ended = task.run(variables, command=["drill"], seconds=seconds)
        answer = answer_of(ended.log)
    for line in report(answer):
        say(line)
    return BROKEN if answer.get("problems") or ended.exit_code else WHOLE


def answer_of(log: Sequence[str]) -> dict[str, Any]:
    """Return the answer of agent.drill, the last line that is a JSON object. Raises NotRun."""
    for line in reversed(log):
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise NotRun(f"the container gave no answer: {log[-1] if log else 'its log is empty'}")


def report(answer: Mapping[str, Any]) -> list[str]:
    """Return the answer for people."""
    counts = ", ".join(f"{many} {what}" for what, many in (answer.get("counts") or {}).items() if many is not None)
    lines = [f"the copy has {counts}"] if counts else []
    problems = answer.get("problems") or []
    lines += [f"  {problem}" for problem in problems]
    return [
        *lines,
        f"NOT WHOLE: {len(problems)} faults" if problems else "the copy is whole, and this release runs on it",
    ]


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
