"""The fleet registry, in the broker's Redis: who is there, what each was ordered to do, what the scaler remembers.

functions/Makefile takes it, with what it imports, into the Lambda packages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet import history
from fleet.forecast import FORECAST_TTL_S, Forecast, parse_forecast
from fleet.member import (
    CONSUMING,
    DAG_PROCESSOR,
    DRAINED,
    DRAINING,
    FLOWER,
    FORECASTER,
    ROLES,
    RUNNING,
    SCHEDULER,
    STARTING,
    STATES,
    STOPPED,
    TRIGGERER,
    WEBSERVER,
    WORKER,
    Code,
    MalformedMember,
    Member,
    member_id,
)
from fleet.validation import loads_each

if TYPE_CHECKING:
    import redis

# Who reads the registry needs the words that its members use: they may come from here.
__all__ = [
    "CONSUMING",
    "DAG_PROCESSOR",
    "DRAINED",
    "DRAINING",
    "FLOWER",
    "FORECASTER",
    "ROLES",
    "RUNNING",
    "SCHEDULER",
    "STARTING",
    "STATES",
    "STOPPED",
    "TRIGGERER",
    "WEBSERVER",
    "WORKER",
    "Code",
    "Forecast",
    "MalformedMember",
    "Member",
    "Registry",
    "Roster",
    "member_id",
    "parse_forecast",
]

MEMBERS_KEY = "fleet:members"
VERSIONS_KEY = "fleet:versions"  # what the version check remembers
MEMBER_TTL_S = 30
# Longer than a member's own: a member still listed whose record is missing is an anomaly, not a race with expiry.
RECORD_TTL_S = 2 * MEMBER_TTL_S
# A worker keeps the last order it read and ids are never reused, so an order may expire once it was surely read.
ORDER_TTL_S = 86_400
# `last_seen` is written and read by one clock; only a failover to a replica whose clock is behind shows the future.
CLOCK_TOLERANCE_S = 5.0
NAMES_A_SCAN = 1000

ORDER_CONSUME = "consume"
ORDER_DRAIN = "drain"
ORDERS = frozenset({ORDER_CONSUME, ORDER_DRAIN})
# All or none of them, and one answer instead of one each: hundreds of workers may get an order at once.
GIVE_ORDERS = """
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
end
"""


def member_key(member_id: str) -> str:
    return f"fleet:member:{member_id}"


def order_key(member_id: str) -> str:
    return f"fleet:order:{member_id}"


def scaler_key(pool: str) -> str:
    return f"fleet:scaler:{pool}"


def decisions_key(pool: str) -> str:
    return f"fleet:decisions:{pool}"


def history_key(pool: str) -> str:
    return f"fleet:history:{pool}"


def forecast_key(pool: str) -> str:
    return f"fleet:forecast:{pool}"


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
        records = self._redis.mget([member_key(name) for name in ids]) if ids else []
        members, malformed = [], []
        for name, record in zip(ids, loads_each(records), strict=True):
            if record is None or seen[name] > now + CLOCK_TOLERANCE_S:
                malformed.append(name)
                continue
            try:
                members.append(Member.from_record(record, member_id=name, last_seen=seen[name]))
            except MalformedMember:
                malformed.append(name)
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
        if orders:
            keys = [order_key(name) for name in orders]
            self._redis.eval(GIVE_ORDERS, len(keys), *keys, ORDER_TTL_S, *orders.values())

    def record_decision(self, pool: str, decision: Mapping[str, Any], keep: int = 500) -> None:
        """Puts a decision (JSON-serialisable, `t` its time) at the head of the pool's list of the last `keep`.

        Its figures go into the pool's timeline.
        """
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(decisions_key(pool), json.dumps(decision, separators=(",", ":")))
            pipe.ltrim(decisions_key(pool), 0, keep - 1)
            pipe.hset(history_key(pool), history.slot_of(decision["t"]), history.sample_of(decision))
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


def _seconds(time: tuple[int, int]) -> float:
    return int(time[0]) + int(time[1]) / 1e6


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
