"""The version check as the gate of a deployment: every process runs the release that was deployed."""

from __future__ import annotations

from collections.abc import Callable

from ops.ask import Record, ask_until
from ops.delivery.errors import Failed
from ops.delivery.release import Release
from ops.versions.ask import OUT_OF_SYNC, is_in_sync
from ops.versions.view import lines

WAITS_S = 900.0


def held_against(record: Record, release: Release) -> Record:
    """The check's answer, out of sync where the fleet agrees on another version than the release's."""
    runs = (record["webserver"] or {}).get("image_version")
    if not is_in_sync(record) or runs == release.version:
        return record
    return {**record, "status": OUT_OF_SYNC, "notes": [*record["notes"], f"all run {runs}, not {release.version}"]}


def pass_gate(
    look: Callable[[], Record], release: Release, *, seconds: float, progress: Callable[[Record, float], None]
) -> None:
    """Returns once all run the release; Failed, with what the check says, when they do not within `seconds`."""
    record = ask_until(lambda: held_against(look(), release), is_done=is_in_sync, seconds=seconds, progress=progress)
    if not is_in_sync(record):
        raise Failed(f"the version check did not pass: {'; '.join(each.strip() for each in lines(record))}")
