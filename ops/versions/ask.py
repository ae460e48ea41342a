"""Asks the deployed version check for one look."""

from __future__ import annotations

from ops.ask import Record, ask_function
from ops.reach import Stack

OUTPUT = "VersionCheckFunctionName"
IN_SYNC, OUT_OF_SYNC, ASLEEP = "in_sync", "out_of_sync", "asleep"


def ask(stack: Stack) -> Record:
    """The function's answer, see version_check.verdict. Raises what `ask_function` raises."""
    return ask_function(stack, output=OUTPUT, event={"looks": 1}, who="the version check")


def is_in_sync(record: Record) -> bool:
    return bool(record["status"] == IN_SYNC)
