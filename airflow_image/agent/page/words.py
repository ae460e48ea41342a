"""Writes the sentences about the fleet that the Fleet page and the local stack's terminal show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.page.code import IN_SYNC, OUT_OF_SYNC, UNKNOWN
from fleet.forecast import Forecast
from fleet.member import CONSUMING, Member
from fleet.peaks import PoolPeaks, typical

TITLES = {IN_SYNC: "In sync", OUT_OF_SYNC: "Out of sync", UNKNOWN: "Unknown"}
FIELDS = {"image_version": "image version", "dags_hash": "DAGs", "airflow_version": "Airflow"}
MIB_A_GIB = 1024
NAMED = 3  # reasons, or times of a forecast, that are written out

# Texts, and between them times in seconds since the epoch, which are shown by the reader's clock.
Parts = list[str | int]


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun, such as "1 worker" or "1,200 workers"."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def coming(number: int, *, since: float | None, now: float) -> str:
    """Return how many workers start and for how long, such as "3 workers are starting (11 s)"; nothing if none do."""
    if not number:
        return ""
    seconds = "" if since is None else f" ({max(0, round(now - since)):,} s)"
    return f"{count(number, 'worker')} {'is' if number == 1 else 'are'} starting{seconds}"


def verdict(code: Mapping[str, Any], *, now: float) -> dict[str, str]:
    """Return the result of `code_by_role` at `now`, a POSIX time, as a `title` and one sentence, `text`."""
    status, compared = code["status"], count(code["compared"], "process", "processes")
    if status == IN_SYNC:
        text = f"All {compared} run {code['reference']['image_version']}."
    elif status == OUT_OF_SYNC:
        running = code["differing_active"]
        meanwhile = f", with {count(running, 'running task')}" if running else ""
        who = "; ".join(differing(group) for group in code["groups"] if group["differs"])
        text = f"{code['differing']:,} of {compared} differ from the webserver{meanwhile}: {who}."
    elif code["starting"] and not code["unknown"]:
        text = f"All {compared} that report run {code['reference']['image_version']}."
        return {"title": coming(len(code["starting"]), since=min(code["starting"]), now=now), "text": text}
    else:
        text = f"{'; '.join(code['unknown'][:NAMED])}."
    return {"title": TITLES[status], "text": text}


def differing(group: Mapping[str, Any]) -> str:
    """Return a group and its differences, such as "2 workers (image version, DAGs)"."""
    fields = ", ".join(FIELDS[field] for field in group["differs"])
    return f"{count(group['members'], group['role'])} ({fields})"


def memory(workers: Iterable[Member]) -> str:
    """Say how many slots the consuming workers use, if their memory does not allow for all; else nothing."""
    consuming = [worker for worker in workers if worker.state == CONSUMING]
    used = sum(worker.slots for worker in consuming)
    declared = sum(max(worker.slots, worker.declared_slots) for worker in consuming)
    return f"memory: takes {used:,} of {count(declared, 'slot')}" if used < declared else ""


def needs(peaks: PoolPeaks | None, *, slots: int) -> str:
    """Say what a pool's tasks need, how many fit into a worker, and what to change; nothing if that is unknown."""
    need = 0 if peaks is None else typical(peaks.last)
    if peaks is None or not need:
        return ""
    fitting = peaks.room // need
    said = (
        f"Nine of ten tasks need up to {need:,} MiB, the largest of the last {len(peaks.last)} needed "
        f"{max(peaks.last):,} MiB. {count(fitting, 'slot')} of a worker of this size fit, {slots:,} declared"
    )
    if fitting >= slots:
        return f"{said}."
    more = -(-(need * slots - peaks.room) // MIB_A_GIB)
    return f"{said}: for all of them, add {more:,} GiB to a worker."


def expected(forecast: Forecast | None, *, now: float) -> Parts:
    """Return what a pool's forecast says of the time after `now`, a POSIX time, as one sentence."""
    if forecast is None:
        return ["This pool has no forecast."]
    coming = [entry for entry in forecast if entry[0] > now]
    if not coming:
        return ["The forecast expects no runs soon."]
    parts: Parts = ["The forecast expects runs that need "]
    for n, (at, slots) in enumerate(coming[:NAMED]):
        parts += [f"{', ' if n else ''}{count(slots, 'more slot')} at ", at]
    others = len(coming) - NAMED
    return [*parts, f", and others at {count(others, 'later time')}." if others > 0 else "."]
