"""Asks the deployed sleeper, again and again, until what was wanted has come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from ops.reach import Stack

OUTPUT = "SleeperFunctionName"
ASLEEP, AWAKE = "asleep", "awake"
ASK_EVERY_S = 5.0
DONE, STAYED, LATE = 0, 1, 2

Record = dict[str, Any]


class SleeperFailed(Exception):
    """The function answered with an error."""


def ask(stack: Stack, want: str | None) -> Record:
    """The answer to one look, see sleeper.handler; `want` says what is wanted from now on.

    Raises SleeperFailed, KeyError, what boto3 raises.
    """
    event = {"looks": 1} if want is None else {"looks": 1, "want": want}
    answer = stack.functions.invoke(FunctionName=stack.output(OUTPUT), Payload=json.dumps(event))
    record: Record = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise SleeperFailed(f"the sleeper failed: {record.get('errorMessage', record)}")
    return record


def wait_until(
    wanted: str,
    *,
    ask: Callable[[str | None], Record],
    seconds: float,
    progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """The first settled answer, or the last one within `seconds`; `progress` hears each new line with its time.

    What is wanted is said once: the sleeper goes on by itself, also when nobody asks any more.
    """
    began, said = clock(), ""
    want: str | None = wanted
    while True:
        record = ask(want)
        want = None
        passed = clock() - began
        if record["says"] != said:
            said = record["says"]
            progress(f"{passed:5.0f} s  {said}")
        if record["is_settled"] or passed + ASK_EVERY_S > seconds:
            return record
        sleep(ASK_EVERY_S)


def exit_code(record: Record, *, wanted: str) -> int:
    """0 when it is as wanted, 1 when it settled otherwise, 2 when it had not settled in time."""
    if not record["is_settled"]:
        return LATE
    return DONE if record["phase"] == wanted else STAYED
