"""Ask the deployed version check, and show its answer to people."""

from __future__ import annotations

from collections.abc import Iterator

from ops.deployed import DeployedStack, Record, ask_function
from version_check.verdict import ASLEEP, IN_SYNC, OUT_OF_SYNC

OUTPUT = "VersionCheckFunctionName"


def ask_version_check(stack: DeployedStack) -> Record:
    """Return the function's answer, see version_check.verdict. Raises what `ask_function` raises."""
    return ask_function(stack, output=OUTPUT, event={"ticks": 1}, described_as="the version check")


def is_in_sync(record: Record) -> bool:
    return bool(record["status"] == IN_SYNC)


EXIT_CODES = {IN_SYNC: 0, OUT_OF_SYNC: 1}
UNKNOWN_CODE = 2
ONLY_DRAINING = "all that take tasks run the same code; only old workers that drain are left"
SHORT = 12  # characters of a hash that tell it from others


def is_draining_only(record: Record) -> bool:
    """Return whether all that take tasks run the same code, and only old workers drain.

    A function of an earlier release does not say so.
    """
    return bool(record.get("is_draining_only"))


def exit_code(record: Record) -> int:
    """Return 0 in sync, 1 out of sync, 2 unknown or asleep (nothing was compared)."""
    return EXIT_CODES.get(record["status"], UNKNOWN_CODE)


def summary(record: Record) -> str:
    """Return the status with the counts."""
    draining = f"; {ONLY_DRAINING}" if is_draining_only(record) else ""
    return f"{record['status']}: {record['differences']} differ, {record['gaps']} unknown{draining}"


def report_lines(record: Record) -> Iterator[str]:
    """Yield the whole answer, for people."""
    if record["status"] == ASLEEP:
        yield f"{ASLEEP}: nothing was compared; run make wake to start the environment"
        return
    webserver = record["webserver"] or {"member": "none", "image_version": "", "dags_hash": "", "airflow_version": ""}
    yield (
        f"{record['status']}: {record['compared']} containers compared with {webserver['member']} "
        f"(image {webserver['image_version']}, dags {webserver['dags_hash'][:SHORT]}, "
        f"Airflow {webserver['airflow_version']})"
    )
    for each in record["out_of_sync"]:
        doing = "draining" if each["is_draining"] else each["state"] or "not reporting"
        yield (
            f"  {each['member']}: {each['field']} {each['value'][:SHORT]} instead of {each['expected'][:SHORT]} "
            f"({doing}, {each['active']} active task{'' if each['active'] == 1 else 's'})"
        )
    for each in record["unknown"]:
        since = "" if each["seconds"] is None else f", for {each['seconds']} s"
        yield f"  {each['who']}: {each['why']}{since}"
    if is_draining_only(record):
        yield f"  {ONLY_DRAINING}"
    yield from (f"  {note}" for note in record["notes"])
    if record["seconds_out_of_sync"]:
        yield f"  not in sync for {record['seconds_out_of_sync']:.0f} s"
