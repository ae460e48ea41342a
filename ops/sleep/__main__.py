"""Put an environment to sleep, or wake it: exit 0 when done, 1 when it ended in the other state, 2 when unknown."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain, repeat

from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import DeployedStack, FunctionFailed, Record, ask_function, ask_until, find_stack
from project.errors import CommandError
from shared.tags import ASLEEP, AWAKE

OUTPUT = "SleeperFunctionName"
DONE, STAYED, UNKNOWN_CODE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.sleep", description=__doc__)
    parser.add_argument("state", choices=(ASLEEP, AWAKE))
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument(
        "--wait", type=float, default=7200.0, metavar="SECONDS", help="longest wait; default: %(default)g"
    )
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


def ask_sleeper(stack: DeployedStack, want: str | None) -> Record:
    """Return the record of one tick, see sleeper.handler; `want` sets the desired state.

    Raises what `ask_function` raises.
    """
    event = {"ticks": 1} if want is None else {"ticks": 1, "want": want}
    return ask_function(stack, output=OUTPUT, event=event, described_as="the sleeper")


def wait_until(
    wanted: str,
    *,
    ask: Callable[[str | None], Record],
    seconds: float,
    progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """Return the first settled answer, or the last within `seconds`; `progress` gets each new line with its time.

    The desired state is set once: the sleeper continues by itself, also when this command ends.
    """
    wants = chain([wanted], repeat(None))
    said = ""

    def show(record: Record, passed: float) -> None:
        nonlocal said
        if record["says"] != said:
            said = record["says"]
            progress(f"{passed:5.0f} s  {said}")

    return ask_until(
        lambda: ask(next(wants)),
        is_done=lambda record: bool(record["is_settled"]),
        seconds=seconds,
        progress=show,
        clock=clock,
        sleep=sleep,
    )


def exit_code(record: Record, *, wanted: str) -> int:
    """Return 0 when the wanted state is reached, 1 when the other one is, 2 when neither was in time."""
    if not record["is_settled"]:
        return UNKNOWN_CODE
    return DONE if record["phase"] == wanted else STAYED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
