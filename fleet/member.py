"""A member of the fleet: the record that one container reports of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fleet.validation import (
    NO_JSON,
    is_count,
    is_flag,
    is_list_of_text,
    is_name,
    is_text,
    is_text_or_none,
    is_time,
    loads,
)

RECORD_VERSION = 1
MOST_TASKS = 10_000  # of one worker; a larger number is an error that would raise the pool to its maximum

# The roles of the containers that report. They are also the containers' names.
WEBSERVER = "webserver"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
WORKER = "worker"
FORECASTER = "forecaster"
FLOWER = "flower"
EVENTS = "events"
ROLES = frozenset({WEBSERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER, FORECASTER, WORKER, FLOWER, EVENTS})

STARTING = "starting"
CONSUMING = "consuming"
DRAINING = "draining"
DRAINED = "drained"
STOPPED = "stopped"
RUNNING = "running"  # the only state of a member that is not a worker
STATES = frozenset({STARTING, CONSUMING, DRAINING, DRAINED, STOPPED, RUNNING})


def member_id(task_id: str, role: str) -> str:
    """Return the member's id. It is unique and never used again, because ECS gives every task a new id."""
    return f"{task_id}/{role}"


def task_of(member: str) -> str:
    """Return the id of the ECS task that a member's id names."""
    return member.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Code:
    """The code that a container runs. An empty field is unknown and equals nothing."""

    image_version: str
    dags_hash: str
    airflow_version: str

    def is_surely(self, other: Code) -> bool:
        """Return whether both are known and equal."""
        return self == other and all(asdict(self).values())


CODE_FIELDS = tuple(field.name for field in fields(Code))


class MalformedMember(ValueError):
    """A record in the registry is invalid."""

    def __init__(self, member_id: str, why: str) -> None:
        super().__init__(f"fleet member {member_id}: {why}")
        self.member_id = member_id
        self.why = why


@dataclass(frozen=True, kw_only=True)
class Member:
    """One container. Times are seconds since the epoch by Redis's clock; `last_seen` is 0 until the record is read.

    `trouble`: why a worker takes no messages although it is `consuming`; empty if it does. `left_behind`: how many
    processes the tasks of a worker have left behind since its start, which were ended. `slots`: how many tasks a worker
    takes at present, `declared_slots`: how many it would take with memory for all of them. `host`: the address that
    Airflow stores with the worker's tasks; empty if it is not known.
    """

    id: str
    role: str
    pool: str | None
    image_version: str
    dags_hash: str
    airflow_version: str
    state: str
    slots: int
    active: int
    protected: bool
    started_at: float
    task_arn: str
    container: str
    queues: tuple[str, ...]
    trouble: str = ""
    left_behind: int = 0
    declared_slots: int = 0
    host: str = ""
    last_seen: float = 0.0

    @property
    def is_consuming(self) -> bool:
        """Whether a worker has proven that it takes messages."""
        return self.state == CONSUMING and not self.trouble

    @property
    def code(self) -> Code:
        return Code(image_version=self.image_version, dags_hash=self.dags_hash, airflow_version=self.airflow_version)

    def to_json(self) -> str:
        """Return the record as stored: every field except `last_seen`, which the sorted set holds."""
        record = asdict(self)
        del record["last_seen"]
        return json.dumps({"version": RECORD_VERSION, **record}, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: str | bytes, *, member_id: str | None = None, last_seen: float = 0.0) -> Member:
        """Return the member that a record describes, which must be `member_id` if given; raise MalformedMember."""
        return cls.from_record(loads(raw), member_id=member_id, last_seen=last_seen)

    @classmethod
    def from_record(cls, record: object, *, member_id: str | None = None, last_seen: float = 0.0) -> Member:
        """Return the member that a parsed record describes (see `from_json` and fleet.validation.loads_each)."""
        named = member_id or "?"
        if record is NO_JSON:
            raise MalformedMember(named, "the record is not JSON")
        if not isinstance(record, dict):
            raise MalformedMember(named, "the record is not an object")
        if record.get("version") != RECORD_VERSION:
            raise MalformedMember(named, f"unknown record version {record.get('version')!r}")
        values: dict[str, Any] = {name: record.get(name) for name in _PLAUSIBLE}
        # Not in records of older releases.
        values["trouble"] = record.get("trouble", "")
        values["left_behind"] = record.get("left_behind", 0)
        values["declared_slots"] = record.get("declared_slots", record.get("slots"))
        values["host"] = record.get("host", "")
        values["last_seen"] = last_seen
        for name, is_plausible in _PLAUSIBLE.items():
            if not is_plausible(values[name]):
                raise MalformedMember(named, f"{name} is {values[name]!r}")
        if member_id not in (None, values["id"]):
            raise MalformedMember(named, f"the record's id is {values['id']!r}")
        values["queues"] = tuple(values["queues"])
        return cls(**values)


def _is_state(value: object) -> bool:
    return isinstance(value, str) and value in STATES


def _is_count_of_tasks(value: Any) -> bool:
    return is_count(value) and value <= MOST_TASKS


# The check of each field. A table, for speed: the autoscaler reads hundreds of records at every tick.
_PLAUSIBLE: Mapping[str, Callable[[Any], bool]] = {field.name: is_text for field in fields(Member)} | {
    "id": is_name,
    "role": is_name,
    "pool": is_text_or_none,
    "state": _is_state,
    "slots": _is_count_of_tasks,
    "active": _is_count_of_tasks,
    "left_behind": is_count,
    "declared_slots": _is_count_of_tasks,
    "protected": is_flag,
    "started_at": is_time,
    "last_seen": is_time,
    "queues": is_list_of_text,
}
