"""The fleet registry, in the broker's Redis: who is there, what each was ordered to do, what the scaler remembers.

One file without others of the fleet's, because the Lambda package takes it from the image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

MEMBERS_KEY = "fleet:members"
VERSIONS_KEY = "fleet:versions"  # what the version check remembers
MEMBER_TTL_S = 30
# Longer than a member's own: a member still listed whose record is missing is an anomaly, not a race with expiry.
RECORD_TTL_S = 2 * MEMBER_TTL_S
# A worker keeps the last order it read and ids are never reused, so an order may expire once it was surely read.
ORDER_TTL_S = 86_400
# `last_seen` is written and read by one clock; only a failover to a replica whose clock is behind shows the future.
CLOCK_TOLERANCE_S = 5.0
RECORD_VERSION = 1
NAMES_A_SCAN = 1000
MOST_TASKS = 10_000  # of one worker; more is an error, and would raise the pool to its maximum
# The forecaster writes each minute. Once it has missed two, nobody may count on what it said.
FORECAST_TTL_S = 180
MOST_FORECAST_PAIRS = 5_000  # one a second for an hour is 3,600
MOST_FORECAST_SLOTS = 1_000_000  # far beyond any pool's maximum
LATEST_EPOCH_S = 10**11  # the year 5138: milliseconds are beyond it

# The roles of the containers that report, which are also the containers' names.
WEBSERVER = "webserver"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
WORKER = "worker"
FORECASTER = "forecaster"
FLOWER = "flower"
ROLES = frozenset({WEBSERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER, FORECASTER, WORKER, FLOWER})

STARTING = "starting"
CONSUMING = "consuming"
DRAINING = "draining"
DRAINED = "drained"
STOPPED = "stopped"
RUNNING = "running"  # the only state of a member that is no worker
STATES = frozenset({STARTING, CONSUMING, DRAINING, DRAINED, STOPPED, RUNNING})

ORDER_CONSUME = "consume"
ORDER_DRAIN = "drain"
ORDERS = frozenset({ORDER_CONSUME, ORDER_DRAIN})


def member_id(task_id: str, role: str) -> str:
    """Unique in the fleet, and never used again: ECS gives every task a new id."""
    return f"{task_id}/{role}"


def member_key(member_id: str) -> str:
    return f"fleet:member:{member_id}"


def order_key(member_id: str) -> str:
    return f"fleet:order:{member_id}"


def scaler_key(pool: str) -> str:
    return f"fleet:scaler:{pool}"


def decisions_key(pool: str) -> str:
    return f"fleet:decisions:{pool}"


def forecast_key(pool: str) -> str:
    return f"fleet:forecast:{pool}"


Forecast = tuple[tuple[int, int], ...]
"""Of one pool: (epoch_s, slots), ascending, each time once. fleet.forecast says what it means."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What code a container runs; a field is empty where it is not known, and then equal to nothing."""

    image_version: str
    dags_hash: str
    airflow_version: str

    def is_surely(self, other: Code) -> bool:
        """Whether both are known and the same."""
        return self == other and all(asdict(self).values())


class MalformedMember(ValueError):
    """A record in the registry that cannot be believed."""

    def __init__(self, member_id: str, why: str) -> None:
        super().__init__(f"fleet member {member_id}: {why}")
        self.member_id = member_id
        self.why = why


@dataclass(frozen=True, kw_only=True)
class Member:
    """One container. Times are seconds since the epoch by Redis's clock; `last_seen` is 0 until read back."""

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
    last_seen: float = 0.0

    @property
    def code(self) -> Code:
        return Code(image_version=self.image_version, dags_hash=self.dags_hash, airflow_version=self.airflow_version)

    def to_json(self) -> str:
        """The record as stored: every field but `last_seen`, which the sorted set holds."""
        record = asdict(self)
        del record["last_seen"]
        return json.dumps({"version": RECORD_VERSION, **record}, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: str | bytes, *, member_id: str | None = None, last_seen: float = 0.0) -> Member:
        """The member that a record describes, which must be `member_id` if given; raises MalformedMember."""
        named = member_id or "?"
        try:
            record = json.loads(raw.decode() if isinstance(raw, bytes) else raw)  # bytes: no guess at the encoding
        except (ValueError, RecursionError):
            raise MalformedMember(named, "the record is not JSON") from None
        if not isinstance(record, dict):
            raise MalformedMember(named, "the record is not an object")
        if record.get("version") != RECORD_VERSION:
            raise MalformedMember(named, f"unknown record version {record.get('version')!r}")
        values: dict[str, Any] = {name: record.get(name) for name in _PLAUSIBLE}
        values["last_seen"] = last_seen
        for name, is_plausible in _PLAUSIBLE.items():
            if not is_plausible(values[name]):
                raise MalformedMember(named, f"{name} is {values[name]!r}")
        if member_id not in (None, values["id"]):
            raise MalformedMember(named, f"the record says that it is {values['id']!r}")
        values["queues"] = tuple(values["queues"])
        return cls(**values)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_state(value: object) -> bool:
    return isinstance(value, str) and value in STATES


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST_TASKS


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and -math.inf < value < math.inf  # false of NaN; no int is too large for it


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


# What a container would report, by field. A table, because the autoscaler reads hundreds of records at every look.
_PLAUSIBLE: Mapping[str, Callable[[Any], bool]] = {field.name: _is_text for field in fields(Member)} | {
    "id": _is_name,
    "role": _is_name,
    "pool": _is_text_or_none,
    "state": _is_state,
    "slots": _is_count,
    "active": _is_count,
    "protected": _is_flag,
    "started_at": _is_time,
    "last_seen": _is_time,
    "queues": _is_list_of_text,
}


@dataclass(frozen=True, kw_only=True)
class Roster:
    """One reading of the registry: the live members by id, the ids whose records cannot be believed, Redis's time."""

    members: tuple[Member, ...]
    malformed: tuple[str, ...]
    read_at: float = 0.0


class Registry:
    """The registry over one Redis client, decoding responses or not. Every method may raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        # The stubs of redis-py 6 and 8 describe answers differently, and neither knows `decode_responses`.
        self._redis: Any = client

    def now(self) -> float:
        """Seconds since the epoch by Redis's clock, the only one that all members share."""
        return _seconds(self._redis.time())

    def report(self, member: Member) -> None:
        """Stores the member's record and marks it seen now; drops, in passing, members not seen for a while."""
        now = self.now()
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(member_key(member.id), member.to_json(), ex=RECORD_TTL_S)
            pipe.zadd(MEMBERS_KEY, {member.id: now})
            pipe.zremrangebyscore(MEMBERS_KEY, "-inf", f"({now - MEMBER_TTL_S}")
            pipe.execute()

    def forget(self, member_id: str) -> None:
        """Removes a member that ends in good order."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(MEMBERS_KEY, member_id)
            pipe.delete(member_key(member_id), order_key(member_id))
            pipe.execute()

    def members(self) -> Roster:
        """Everybody seen within MEMBER_TTL_S, in two round trips however many there are."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.zrange(MEMBERS_KEY, 0, -1, withscores=True)
            time, scores = pipe.execute()
        return self._read(scores, now=_seconds(time))

    def members_of(self, role: str) -> Roster:
        """The same of one role. Redis looks through the names: cheap enough for every worker to ask now and then."""
        now = self.now()
        return self._read(self._redis.zscan_iter(MEMBERS_KEY, match=member_id("*", role), count=NAMES_A_SCAN), now=now)

    def _read(self, scores: Iterable[tuple[bytes | str, float]], *, now: float) -> Roster:
        seen = {_text(name): score for name, score in scores if score >= now - MEMBER_TTL_S}
        ids = sorted(seen)
        records = self._redis.mget([member_key(member_id) for member_id in ids]) if ids else []
        members, malformed = [], []
        for member_id, record in zip(ids, records, strict=True):
            if record is None or seen[member_id] > now + CLOCK_TOLERANCE_S:
                malformed.append(member_id)
                continue
            try:
                members.append(Member.from_json(record, member_id=member_id, last_seen=seen[member_id]))
            except MalformedMember:
                malformed.append(member_id)
        return Roster(members=tuple(members), malformed=tuple(malformed), read_at=now)

    def order(self, member_id: str) -> str | None:
        """The order given to the member; None when there is none (or it expired): what it read last then stands."""
        raw = self._redis.get(order_key(member_id))
        return None if raw is None else _text(raw)

    def give_orders(self, orders: Mapping[str, str]) -> None:
        """Gives {member id: order} in one round trip; ValueError, and none given, when an order is not in ORDERS."""
        unknown = sorted(set(orders.values()) - ORDERS)
        if unknown:
            raise ValueError(f"no such order: {', '.join(unknown)}")
        with self._redis.pipeline(transaction=True) as pipe:
            for member_id, order in orders.items():
                pipe.set(order_key(member_id), order, ex=ORDER_TTL_S)
            pipe.execute()

    def record_decision(self, pool: str, decision: Mapping[str, Any], keep: int = 500) -> None:
        """Puts a decision (JSON-serialisable) at the head of the pool's list, which keeps the last `keep`."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(decisions_key(pool), json.dumps(decision, separators=(",", ":")))
            pipe.ltrim(decisions_key(pool), 0, keep - 1)
            pipe.execute()

    def remember(self, pool: str, memory: Mapping[str, Any]) -> None:
        """Replaces what the scaler remembers about a pool."""
        self._redis.set(scaler_key(pool), json.dumps(memory, separators=(",", ":")))

    def recall(self, pool: str) -> dict[str, Any]:
        """What `remember` stored; empty when nothing was; ValueError when it is not a JSON object."""
        raw = self._redis.get(scaler_key(pool))
        memory = {} if raw is None else json.loads(raw)
        if not isinstance(memory, dict):
            raise ValueError(f"{scaler_key(pool)} holds no JSON object")
        return memory

    def foretell(self, pool: str, forecast: Forecast) -> None:
        """Replaces the pool's forecast, which expires after FORECAST_TTL_S; ValueError for one to disbelieve."""
        raw = json.dumps(forecast, separators=(",", ":"))
        parse_forecast(raw)
        self._redis.set(forecast_key(pool), raw, ex=FORECAST_TTL_S)

    def forecast(self, pool: str) -> Forecast | None:
        """What `foretell` stored last; None when there is none, or it has expired; ValueError as parse_forecast."""
        return parse_forecast(self._redis.get(forecast_key(pool)))


def parse_forecast(raw: bytes | str | None) -> Forecast | None:
    """The forecast stored as `raw`, in order; None for no forecast, which is not the empty one: nothing is due then.

    Raises ValueError when it cannot be believed. That is no reason to keep a size: without a forecast the scaler goes
    by what it sees.
    """
    if raw is None:
        return None
    try:
        pairs = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("the forecast is not JSON") from None
    if not isinstance(pairs, list) or len(pairs) > MOST_FORECAST_PAIRS:
        raise ValueError(f"the forecast is not a list of at most {MOST_FORECAST_PAIRS} pairs")
    for pair in pairs:
        if not _is_forecast_pair(pair):
            raise ValueError(f"the forecast holds {pair!r:.80}")
    if len({at for at, _ in pairs}) < len(pairs):
        raise ValueError("the forecast names a time twice")
    return tuple(sorted((at, slots) for at, slots in pairs))


def _is_forecast_pair(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
        return False
    at, slots = pair
    return 0 < int(at) <= LATEST_EPOCH_S and 1 <= int(slots) <= MOST_FORECAST_SLOTS


def _seconds(time: tuple[int, int]) -> float:
    return int(time[0]) + int(time[1]) / 1e6


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
