"""Asks the deployed version check, again and again if told to wait."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from ops.reach import Stack

OUTPUT = "VersionCheckFunctionName"
IN_SYNC, OUT_OF_SYNC, ASLEEP = "in_sync", "out_of_sync", "asleep"
ASK_EVERY_S = 5.0

Record = dict[str, Any]


class CheckFailed(Exception):
    """The function answered with an error."""


def ask(stack: Stack) -> Record:
    """The function's answer to one look, see version_check.verdict. Raises CheckFailed, KeyError, what boto3 raises."""
    answer = stack.functions.invoke(FunctionName=stack.output(OUTPUT), Payload=json.dumps({"looks": 1}))
    record: Record = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise CheckFailed(f"the version check failed: {record.get('errorMessage', record)}")
    return record


def wait_until_in_sync(
    look: Callable[[], Record],
    *,
    seconds: float,
    progress: Callable[[Record, float], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """The first answer that is in sync, or the last one within `seconds`; `progress` hears each with its time."""
    began = clock()
    while True:
        record = look()
        passed = clock() - began
        progress(record, passed)
        if record["status"] == IN_SYNC or passed + ASK_EVERY_S > seconds:
            return record
        sleep(ASK_EVERY_S)
