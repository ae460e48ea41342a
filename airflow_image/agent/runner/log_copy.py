"""Copies a task's log, when it is uploaded to S3, to the container's own output, one JSON object a line.

The log driver brings that to CloudWatch Logs, where it can be searched: no task needs a permission for it, or waits for
it. What the copy holds was masked as the log was.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent import variables
from agent.opening import open_below

NONE, ERRORS, ALL = "none", "errors", "all"
CHOICES = (NONE, ERRORS, ALL)
ERROR = frozenset({"error", "critical", "exception"})
LEVELS_OF_ERRORS = ERROR | {"warning"}
END = "end of the log"  # the message of the line that sums up
# Lines of several tasks that are written at once stay whole up to Linux's PIPE_BUF.
MOST_LINE_BYTES = 4096
# Of one part of a log: until the task ends, or waits as a deferred one.
MOST_BYTES = 1024 * 1024
MOST_READ_BYTES = 16 * 1024 * 1024
MARK = "airflow-task"  # the field by which queries find these lines among the container's own
CUT = "... (cut: the log in Airflow's UI is whole)"
STDOUT = 1


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """Which try of which task."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    def fields(self) -> dict[str, Any]:
        """Return the fields of each line, by which lines are found."""
        return {
            "log": MARK,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
            "try_number": self.try_number,
        }


def copied(lines: Iterable[bytes], key: TaskKey, *, choice: str, most_bytes: int = MOST_BYTES) -> Iterator[bytes]:
    """Yield the lines to write, each a JSON object with a newline and of at most MOST_LINE_BYTES.

    `lines`: of the task's log, which Airflow writes as JSON; a task may have written something else into it. What is
    beyond `most_bytes` is left out. The last line sums up: how many lines there were and how many are left out, how
    many errors, and the seconds from the first to the last.
    """
    fields = key.fields()
    count = errors = left_out = written = 0
    times: list[datetime] = []
    for line in lines:
        entry = _entry(line)
        if entry is None:
            continue
        count += 1
        errors += entry["level"] in ERROR
        if (time := _time(entry)) is not None:
            times = [times[0] if times else time, time]
        if choice == ERRORS and entry["level"] not in LEVELS_OF_ERRORS:
            continue
        text = _fitting(fields, entry)
        if written + len(text) > most_bytes:
            left_out += 1
            continue
        written += len(text)
        yield text
    seconds = round((times[-1] - times[0]).total_seconds(), 3) if times else 0.0
    summary = {**fields, "lines": count, "left_out": left_out, "errors": errors, "seconds": seconds}
    yield _fitting(summary, {"level": "info", "message": END})


def _time(entry: Mapping[str, str]) -> datetime | None:
    try:
        time = datetime.fromisoformat(entry["time"])
    except (KeyError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _entry(line: bytes) -> dict[str, str] | None:
    """Return time, level, logger and message of a line; None for an empty one. Other fields are left out."""
    text = line.decode(errors="replace").strip()
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {"level": "info", "message": text}
    entry = {"level": str(found.get("level") or "info").lower()}
    for name, ours in (("timestamp", "time"), ("logger", "logger"), ("event", "message")):
        if name in found:
            entry[ours] = str(found[name])
    details = found.get("error_detail") or found.get("exception")
    if details:
        entry["error"] = json.dumps(_kinds(details))
    return entry


def _kinds(details: Any) -> list[str]:
    """Return type and text of each exception: the frames are in the log itself."""
    if not isinstance(details, list):
        return []
    kept = (each for each in details if isinstance(each, Mapping))
    return [f"{each.get('exc_type')}: {each.get('exc_value')}" for each in kept]


def _fitting(fields: Mapping[str, Any], entry: Mapping[str, str]) -> bytes:
    """Return the line. Where it would be too long, the longest of the entry's texts is cut, again and again.

    The names in `fields`, of up to 250 characters each, are never cut: they fit.
    """
    entry = dict(entry)
    while len(line := _line(fields, entry)) > MOST_LINE_BYTES and entry:
        longest = max(entry, key=lambda name: len(entry[name]))
        text = entry[longest].removesuffix(CUT)
        # A character has up to six bytes in JSON.
        kept = len(text) - max((len(line) - MOST_LINE_BYTES) // 6, 1) - len(CUT)
        if kept <= 0:
            del entry[longest]
        else:
            entry[longest] = text[:kept] + CUT
    return line


def _line(fields: Mapping[str, Any], entry: Mapping[str, str]) -> bytes:
    return json.dumps({**fields, **entry}, ensure_ascii=False).encode(errors="replace") + b"\n"


def install(given: Mapping[str, str], *, write: Callable[[int, bytes], int] = os.write) -> None:
    """Do so in this process and those forked from it, if the environment asks for it.

    Raises AttributeError if Airflow's upload is another one than this module was written for.
    """
    choice = given.get(variables.TASK_LOG_COPY) or NONE
    if choice == NONE:
        return
    from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO

    upload = S3RemoteLogIO.upload

    def copy_and_upload(self: Any, path: Any, ti: Any = None) -> None:
        if ti is not None:
            key = TaskKey(
                dag_id=ti.dag_id,
                run_id=ti.run_id,
                task_id=ti.task_id,
                map_index=-1 if ti.map_index is None else ti.map_index,
                try_number=ti.try_number,
            )
            _copy(str(self.base_log_folder), str(path), key, choice=choice, write=write)
        upload(self, path, ti)

    S3RemoteLogIO.upload = copy_and_upload


def _copy(folder: str, path: str, key: TaskKey, *, choice: str, write: Callable[[int, bytes], int]) -> None:
    """Copy what the file has. One that cannot be read is not copied: the upload says what is wrong."""
    try:
        descriptor = open_below(folder, os.path.relpath(os.path.join(folder, path), folder))  # noqa: PTH118
    except (OSError, ValueError):
        return
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return
        for line in copied(_lines(file.read(MOST_READ_BYTES)), key, choice=choice):
            write(STDOUT, line)


def _lines(content: bytes) -> Iterator[bytes]:
    yield from content.split(b"\n")
