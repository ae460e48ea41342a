"""How a task ended that did not end by itself, as its worker recorded it.

A pool's records are fields of one Redis hash, and a try's id gives its field: the size is bounded without trimming, and
a lookup reads one field. A record of another try may have the same field, so a reader compares the id. At 4096
fields of some 250 bytes a pool takes 1 MiB at most.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

from fleet.validation import is_name, is_text, is_time, loads

RECORD_VERSION = 1
FIELDS = 4096
ENDS_TTL_S = 7 * 86_400  # since the pool's last record
MOST_CHARACTERS = 100  # of each text
MOST_BYTES = 2**50  # of memory; more is not believed

MEMORY = "memory"  # ended for want of memory in its worker
DEADLINE = "deadline"  # ended because its worker was stopped, and the time for that was up
SUPERVISOR = "supervisor"  # the process that supervised it died, or failed
RUNNER = "runner"  # all processes of its worker's tasks died
HOWS = frozenset({MEMORY, DEADLINE, SUPERVISOR, RUNNER})


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of one try of a task.

    `instance`: the id of the task instance while the try ran; the next try has another. `t`: Redis's time. `worker`:
    the id of the member that ran it. `error`: the name of the supervisor's error, empty without one. `held`, `limit`:
    bytes of memory that the task held, and that all tasks of the worker have; None where memory was not why.
    """

    instance: str
    try_number: int
    t: float
    how: str
    worker: str
    error: str = ""
    held: int | None = None
    limit: int | None = None

    def to_json(self) -> str:
        """Return the record as stored, with its texts cut to MOST_CHARACTERS."""
        cut = {
            name: value[:MOST_CHARACTERS] if isinstance(value, str) else value for name, value in asdict(self).items()
        }
        return json.dumps({"version": RECORD_VERSION, **cut}, separators=(",", ":"))


def field_of(instance: str) -> str:
    """Return the field of the hash for a task instance's id."""
    return str(zlib.crc32(instance.encode(errors="replace")) % FIELDS)


def parse_end(raw: bytes | str | None, *, instance: str) -> End | None:
    """Return the end of this task instance; None without a record, or with one that is another's or malformed."""
    record = None if raw is None else loads(raw)
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION or record.get("instance") != instance:
        return None
    values = {field.name: record[field.name] for field in fields(End) if field.name in record}
    return End(**values) if _is_plausible(values) else None


def _is_plausible(values: dict[str, Any]) -> bool:
    how, number = values.get("how"), values.get("try_number")
    texts = (values.get("worker"), values.get("error", ""))
    return (
        is_name(how)
        and how in HOWS
        and type(number) is int
        and 0 <= number < 10**6
        and is_time(values.get("t"))
        and all(is_text(text) and len(str(text)) <= MOST_CHARACTERS for text in texts)
        and all(_is_memory(values.get(name)) for name in ("held", "limit"))
    )


def _is_memory(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value <= MOST_BYTES)
