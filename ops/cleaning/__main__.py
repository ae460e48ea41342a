"""Delete what an environment's database has kept for long enough, or only say what that is.

Exit 0 when done, 1 when the ECS task failed, 2 when it is not known how it ended.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import FunctionFailed, find_stack
from ops.ecs_task import SCHEDULE, EcsTask, NotRun
from project.errors import CommandError

UNKNOWN_CODE = 2


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.cleaning", description=__doc__)
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--keep-days", type=int, help="another number of days than DatabaseKeepDays, from 1 on")
    parser.add_argument(
        "--wait", type=float, default=7200.0, metavar="SECONDS", help="longest wait; default: %(default)g"
    )
    options = parser.parse_args(arguments)
    variables = {"CLEAN_DRY_RUN": "1"} if options.dry_run else {}
    if options.keep_days is not None:
        variables["CLEAN_KEEP_DAYS"] = str(options.keep_days)
    try:
        stack = find_stack(options.env)
        ended = EcsTask(client=stack.client, schedule=stack.output(SCHEDULE), say=_say).run(
            variables, seconds=options.wait
        )
    except (CommandError, FunctionFailed, NotRun, KeyError, BotoCoreError, ClientError) as error:
        print(f"unknown: {error}", file=sys.stderr)
        return UNKNOWN_CODE
    for line in ended.log:
        _say(line)
    return int(ended.exit_code != 0)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
