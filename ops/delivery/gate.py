"""The version check as the gate of a deployment: every process runs the release that was deployed."""

from __future__ import annotations

from collections.abc import Callable

from ops.delivery.errors import Failed
from ops.delivery.release import Release
from ops.versions.ask import IN_SYNC, OUT_OF_SYNC, Record, wait_until_in_sync
from ops.versions.view import lines

WAITS_S = 900.0


def held_against(record: Record, release: Release) -> Record:
    """The check's answer, out of sync where the fleet agrees on another version than the release's."""
    runs = (record["webserver"] or {}).get("image_version")
    if record["status"] != IN_SYNC or runs == release.version:
        return record
    return {**record, "status": OUT_OF_SYNC, "notes": [*record["notes"], f"all run {runs}, not {release.version}"]}


def pass_gate(
    look: Callable[[], Record], release: Release, *, seconds: float, progress: Callable[[Record, float], None]
) -> None:
    """Returns once all run the release; Failed, with what the check says, when they do not within `seconds`."""
    record = wait_until_in_sync(lambda: held_against(look(), release), seconds=seconds, progress=progress)
    if record["status"] != IN_SYNC:
        raise Failed(f"the version check did not pass: {'; '.join(each.strip() for each in lines(record))}")
