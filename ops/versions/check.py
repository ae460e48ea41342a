"""Ask the deployed version check, and show its answer to people."""

from __future__ import annotations

from collections.abc import Iterator

from ops.deployed import DeployedStack, Record, ask_function
from version_check.verdict import ASLEEP, IN_SYNC, OUT_OF_SYNC
from version_check.words import short, utc

OUTPUT = "VersionCheckFunctionName"


def ask_version_check(stack: DeployedStack) -> Record:
    """Return the function's answer, see version_check.verdict. Raises what `ask_function` raises."""
    return ask_function(stack, output=OUTPUT, event={"ticks": 1}, described_as="the version check")


def is_in_sync(record: Record) -> bool:
    return bool(record["status"] == IN_SYNC)


EXIT_CODES = {IN_SYNC: 0, OUT_OF_SYNC: 1}
OTHER_CODE, UNKNOWN_CODE = 1, 2
ONLY_DRAINING = "all that take tasks run the same code; only old workers that drain are left"


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
        f"(image {webserver['image_version']}, dags {short(webserver['dags_hash'])}, "
        f"Airflow {webserver['airflow_version']})"
    )
    for each in record["out_of_sync"]:
        doing = "draining" if each["is_draining"] else each["state"] or "not reporting"
        yield (
            f"  {each['member']}: {each['field']} {short(each['value'])} instead of {short(each['expected'])} "
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
    yield from bundle_lines(record)


def bundle_lines(record: Record) -> Iterator[str]:
    """Yield what is known of the DAG bundles that have versions: of each a line, and one for each task on an older one.

    A function of an earlier release says nothing of them.
    """
    for bundle in record.get("bundles") or []:
        older = [each for each in bundle["in_use"] if each["version"] != bundle["version"] and each["runs"]]
        runs = ", ".join(f"{each['runs']} of {short(each['version'])} ({_tasks(each['tasks'])})" for each in older)
        more = f"; unfinished runs of other versions: {runs}" if runs else ""
        yield f"bundle {bundle['name']}: version {short(bundle['version'])} since {utc(bundle['since'])}{more}"
        for task in bundle["older"]:
            index = "" if task["map_index"] < 0 else f" [{task['map_index']}]"
            yield f"  {task['dag']}.{task['task']}{index} of {task['run']} runs version {short(task['version'])}"
        if bundle["older_tasks"] > len(bundle["older"]):
            yield f"  and {bundle['older_tasks'] - len(bundle['older'])} more"


def _tasks(count: int) -> str:
    return f"{count} running task{'' if count == 1 else 's'}"


def bundle_state(record: Record, bundle: str, version: str) -> tuple[int, str]:
    """Return an exit code as `exit_code` does, and a line: whether the DAG processor has this version of a bundle.

    `version`: how its name begins.
    """
    if record.get("bundles") is None:
        return UNKNOWN_CODE, f"{bundle}: the scheduler has reported no bundles lately"
    found = [each["version"] for each in record["bundles"] if each["name"] == bundle]
    if not found:
        return OTHER_CODE, f"{bundle}: the DAG processor has no version of it"
    has = found[0].startswith(version)
    return 0 if has else OTHER_CODE, f"{bundle}: the DAG processor has version {short(found[0])}"
