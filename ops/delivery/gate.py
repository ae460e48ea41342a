"""The version check before and after a deployment."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from ops.delivery.release import Failed, Refused, Release
from ops.deployed import FunctionFailed, Record, ask_until
from ops.versions.check import is_draining_only, is_in_sync, report_lines
from version_check.verdict import ASLEEP, OUT_OF_SYNC

GATE_TIMEOUT_S = 900.0


def compare_with_release(record: Record, release: Release) -> Record:
    """Return the check's answer, changed to out of sync when the whole fleet runs another version than the release."""
    runs = (record["webserver"] or {}).get("image_version")
    if not is_in_sync(record) or runs == release.version:
        return record
    return {**record, "status": OUT_OF_SYNC, "notes": [*record["notes"], f"all run {runs}, not {release.version}"]}


def has_arrived(record: Record, release: Release) -> bool:
    """Return whether all that take tasks run the release. Old workers that drain may have tasks of days left."""
    runs = (record["webserver"] or {}).get("image_version")
    return runs == release.version and (is_in_sync(record) or is_draining_only(record))


def wait_for_release(
    ask: Callable[[], Record], release: Release, *, seconds: float, progress: Callable[[Record, float], None]
) -> None:
    """Wait until it has arrived. Raises Failed, with the check's answer, when it has not within `seconds`."""
    record = ask_until(
        lambda: compare_with_release(ask(), release),
        is_done=lambda answer: has_arrived(answer, release),
        seconds=seconds,
        progress=progress,
    )
    if not has_arrived(record, release):
        raise Failed(f"the version check did not pass: {'; '.join(each.strip() for each in report_lines(record))}")


def refuse_if_asleep(environment: str, *, ask: Callable[[], Record], say: Callable[[str], None]) -> None:
    """Raise Refused when the version check answers `asleep`: the gate after the deployment could not pass.

    A check that fails refuses nothing, because the deployment may repair it; `say` reports that.
    """
    try:
        status = ask()["status"]
    except (FunctionFailed, KeyError, BotoCoreError, ClientError) as error:
        say(f"the version check failed, so it is unknown whether {environment} sleeps; continuing: {error!r}")
        return
    if status == ASLEEP:
        raise Refused(f"{environment} is asleep: run make wake ENV={environment} first")
