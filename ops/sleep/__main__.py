"""Put an environment to sleep, or wake it: exit 0 when done, 1 when it stayed awake, 2 when unknown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import FunctionFailed, find_stack
from ops.sleep.ask import ask_sleeper, exit_code, wait_until
from project.errors import CommandError
from shared.tags import ASLEEP, AWAKE

UNKNOWN_CODE = 2


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.sleep", description=__doc__)
    parser.add_argument("state", choices=(ASLEEP, AWAKE))
    parser.add_argument("--env", required=True, help="the environment of samconfig.toml")
    parser.add_argument("--wait", type=float, default=7200.0, metavar="SECONDS", help="limit of the wait")
    options = parser.parse_args(arguments)
    try:
        stack = find_stack(options.env)
        record = wait_until(
            options.state, ask=lambda want: ask_sleeper(stack, want), seconds=options.wait, progress=_say
        )
    except (CommandError, FunctionFailed, KeyError, BotoCoreError, ClientError) as error:
        print(f"unknown: {error}", file=sys.stderr)
        return UNKNOWN_CODE
    return exit_code(record, wanted=options.state)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
