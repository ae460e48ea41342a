"""Asks a deployed function, again and again if told to wait."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ops.reach import Stack

ASK_EVERY_S = 5.0

Record = dict[str, Any]


class FunctionFailed(Exception):
    """The function answered with an error; the message is one line."""


def ask_function(stack: Stack, *, output: str, event: Mapping[str, Any], who: str) -> Record:
    """The answer to `event` of the function that this output of the stack names; `who` names it to people.

    Raises FunctionFailed, KeyError when the stack has no such output, and what boto3 raises.
    """
    answer = stack.functions.invoke(FunctionName=stack.output(output), Payload=json.dumps(event))
    record: Record = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise FunctionFailed(f"{who} failed: {' '.join(str(record.get('errorMessage', record)).split())}")
    return record


def ask_until(
    look: Callable[[], Record],
    *,
    is_done: Callable[[Record], bool],
    seconds: float,
    progress: Callable[[Record, float], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """The first answer that is as wanted, or the last one within `seconds`; `progress` hears each with its time."""
    began = clock()
    while True:
        record = look()
        passed = clock() - began
        progress(record, passed)
        if is_done(record) or passed + ASK_EVERY_S > seconds:
            return record
        sleep(ASK_EVERY_S)
