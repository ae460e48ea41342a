"""The fleet registry in the broker's Redis: the members, their orders, and the autoscaler's memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet import history
from fleet.bundles import BUNDLES_TTL_S, Bundles, parse_bundles, to_json
from fleet.ends import ENDS_TTL_S, End, field_of, parse_end
from fleet.forecast import FORECAST_TTL_S, Forecast, parse_forecast
from fleet.member import MalformedMember, Member, member_id
from fleet.peaks import PEAKS_TTL_S, PoolPeaks, parse_peaks
from fleet.validation import loads_each
from fleet.work import WORK_TTL_S, WorkReport, parse_work
from fleet.work import to_json as work_to_json

if TYPE_CHECKING:
    import redis

MEMBERS_KEY = "fleet:members"
VERSIONS_KEY = "fleet:versions"  # the version check's memory
BUNDLES_KEY = "fleet:bundles"  # written by the scheduler
WORK_KEY = "fleet:work"  # written by the forecaster
TOLD_KEY = "fleet:told"  # what of it the version check has told people
QUIET_KEY = "fleet:quiet"  # exists while it tells them no more
EVENTS_KEY = "fleet:events"  # until when all changes are sent, see agent.events
MEMBER_TTL_S = 30
# Longer than MEMBER_TTL_S: a listed member without a record is then an anomaly, not a race with expiry.
RECORD_TTL_S = 2 * MEMBER_TTL_S
# An order may expire once it was surely read: a worker keeps the last order it read, and ids are never reused.
ORDER_TTL_S = 86_400
# `last_seen` is written and read by one clock. It is in the future only after a failover to a replica that lags behind.
CLOCK_TOLERANCE_S = 5.0
NAMES_A_SCAN = 1000
WAITING_TTL_S = 15  # the scheduler counts every few seconds, while tasks wait

# The autoscaler writes it again at each tick; while it is away, no one waits for its word.
GIVEN_UP_TTL_S = 120

# How the reason of a decision begins while the pool sleeps.
ASLEEP_REASON = "The pool is asleep"
# Fields of the autoscaler's memory of a pool that are read elsewhere: the boots under way, as pairs of a time and a
# number of workers, and the seconds that the last ones took.
LAUNCHES = "launches"
BOOTS_TOOK = "boots_took"

ORDER_CONSUME = "consume"
ORDER_DRAIN = "drain"
ORDERS = frozenset({ORDER_CONSUME, ORDER_DRAIN})
# A script sets all orders or none, and returns one reply instead of one each: hundreds of workers may get an order at
# once.
GIVE_ORDERS = """
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
end
"""

Command = tuple[str | int, ...]
"""A command of Redis with its arguments."""


def member_key(member_id: str) -> str:
    return f"fleet:member:{member_id}"


def order_key(member_id: str) -> str:
    return f"fleet:order:{member_id}"


def scaler_key(pool: str) -> str:
    return f"fleet:scaler:{pool}"


def decisions_key(pool: str) -> str:
    return f"fleet:decisions:{pool}"


def given_up_key(pool: str) -> str:
    return f"fleet:given-up:{pool}"


def history_key(pool: str) -> str:
    return f"fleet:history:{pool}"


def forecast_key(pool: str) -> str:
    return f"fleet:forecast:{pool}"


def costs_key(day: int | str) -> str:
    """Return the key of what the day cost that begins at `day`, in seconds since the epoch; see fleet.costs."""
    return f"fleet:costs:{day}"


def peaks_key(pool: str) -> str:
    return f"fleet:peaks:{pool}"


def ends_key(pool: str) -> str:
    """Return the key of how tasks of the pool ended that did not end by themselves: see fleet.ends."""
    return f"fleet:ends:{pool}"


def waiting_key(pool: str) -> str:
    """Return the key of how many tasks wait in the scheduler for a slot of the pool, beside those in the queues."""
    return f"fleet:waiting:{pool}"


@dataclass(frozen=True, kw_only=True)
class Roster:
    """One reading of the registry: live members sorted by id, ids of malformed records, Redis's time.

    `is_to_sweep`: names are listed that were seen too long ago, or in the future.
    """

    members: tuple[Member, ...]
    malformed: tuple[str, ...]
    read_at: float = 0.0
    is_to_sweep: bool = False


class Registry:
    """The registry over a Redis client, which may decode responses or not. Every method may raise redis.RedisError."""

    def __init__(self, client: redis.Redis, *, reader: redis.Redis | None = None) -> None:
        """Use `client`; read members and orders with `reader` if given, whose user may read what this one may not."""
        # The stubs of redis-py 6 and 8 type replies differently, and neither knows `decode_responses`.
        self._redis: Any = client
        self._reader: Any = client if reader is None else reader

    def now(self) -> float:
        """Return seconds since the epoch by Redis's clock, the only clock that all members share."""
        return _seconds(self._redis.time())

    def report(self, member: Member) -> None:
        """Store the member's record and mark it seen now; drop members that were not seen for MEMBER_TTL_S."""
        now = self.now()
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(member_key(member.id), member.to_json(), ex=RECORD_TTL_S)
            pipe.zadd(MEMBERS_KEY, {member.id: now})
            pipe.zremrangebyscore(MEMBERS_KEY, "-inf", f"({now - MEMBER_TTL_S}")
            pipe.execute()

    def forget(self, member_id: str) -> None:
        """Remove a member that shuts down in an orderly way. Its order expires: a member may not write orders."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(MEMBERS_KEY, member_id)
            pipe.delete(member_key(member_id))
            pipe.execute()

    def members(self) -> Roster:
        """Return all members seen within MEMBER_TTL_S. It takes two round trips for any number of members.

        It needs no transaction: a full Redis refuses every command of one, also reading.
        """
        with self._reader.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(MEMBERS_KEY, 0, -1, withscores=True)
            time, scores = pipe.execute()
        return self._read(scores, now=_seconds(time))

    def members_of(self, role: str) -> Roster:
        """Return the members of one role seen within MEMBER_TTL_S.

        Redis scans all names, which is cheap enough for every worker to ask now and then.
        """
        now = self.now()
        return self._read(self._reader.zscan_iter(MEMBERS_KEY, match=member_id("*", role), count=NAMES_A_SCAN), now=now)

    def sweep(self, *, now: float) -> None:
        """Remove the names that were seen too long ago, and those of the future, which would never be.

        A member that exists is listed again by its next report.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zremrangebyscore(MEMBERS_KEY, "-inf", f"({now - MEMBER_TTL_S}")
            pipe.zremrangebyscore(MEMBERS_KEY, f"({now + CLOCK_TOLERANCE_S}", "+inf")
            pipe.execute()

    def _read(self, scores: Iterable[tuple[bytes | str, float]], *, now: float) -> Roster:
        listed = {_text(name): score for name, score in scores}
        seen = {name: score for name, score in listed.items() if score >= now - MEMBER_TTL_S}
        is_to_sweep = len(seen) < len(listed) or any(score > now + CLOCK_TOLERANCE_S for score in seen.values())
        ids = sorted(seen)
        records = self._reader.mget([member_key(name) for name in ids]) if ids else []
        members, malformed = [], []
        for name, record in zip(ids, loads_each(records), strict=True):
            if record is None or seen[name] > now + CLOCK_TOLERANCE_S:
                malformed.append(name)
                continue
            try:
                members.append(Member.from_record(record, member_id=name, last_seen=seen[name]))
            except MalformedMember:
                malformed.append(name)
        return Roster(members=tuple(members), malformed=tuple(malformed), read_at=now, is_to_sweep=is_to_sweep)

    def order(self, member_id: str) -> str | None:
        """Return the member's order; None when there is none or it expired: the last order it read then stands."""
        raw = self._reader.get(order_key(member_id))
        return None if raw is None else _text(raw)

    def give_orders(self, orders: Mapping[str, str]) -> None:
        """Give the orders, {member id: order}, in one round trip; raise ValueError and give none if one is unknown."""
        unknown = sorted(set(orders.values()) - ORDERS)
        if unknown:
            raise ValueError(f"unknown order: {', '.join(unknown)}")
        if orders:
            keys = [order_key(name) for name in orders]
            self._redis.eval(GIVE_ORDERS, len(keys), *keys, ORDER_TTL_S, *orders.values())

    def record_decision(self, pool: str, decision: Mapping[str, Any], keep: int = 500) -> None:
        """Prepend a decision to the pool's list of the last `keep`, and put its figures into the pool's history.

        The decision must be JSON-serialisable; its `t` is its time.
        """
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(decisions_key(pool), json.dumps(decision, separators=(",", ":")))
            pipe.ltrim(decisions_key(pool), 0, keep - 1)
            pipe.hset(history_key(pool), history.slot_of(decision["t"]), history.sample_of(decision))
            pipe.execute()

    def write_memory(self, pool: str, memory: Mapping[str, Any]) -> None:
        """Replace the autoscaler's memory of a pool."""
        self._redis.set(scaler_key(pool), json.dumps(memory, separators=(",", ":")))

    def read_memory(self, pool: str) -> dict[str, Any]:
        """Return what `write_memory` stored, or an empty memory; raise ValueError when it is not a JSON object."""
        raw = self._redis.get(scaler_key(pool))
        memory = {} if raw is None else json.loads(raw)
        if not isinstance(memory, dict):
            raise ValueError(f"{scaler_key(pool)} holds no JSON object")
        return memory

    def note_given_up(self, pool: str, image: str) -> None:
        """Say that the pool's workers did not come up with this image; it holds for GIVEN_UP_TTL_S."""
        self._redis.set(given_up_key(pool), image, ex=GIVEN_UP_TTL_S)

    def images_given_up(self, pools: Iterable[str]) -> frozenset[str]:
        """Return the images with which workers of these pools did not come up."""
        found = self._reader.mget([given_up_key(pool) for pool in pools])
        return frozenset(_text(image) for image in found if image is not None)

    def write_peaks(self, pool: str, peaks: PoolPeaks) -> None:
        """Replace what the pool's workers have learned, which expires after PEAKS_TTL_S."""
        self._redis.set(peaks_key(pool), peaks.to_json(), ex=PEAKS_TTL_S)

    def peaks(self, pool: str) -> PoolPeaks | None:
        """Return what the pool's workers have learned; None if nothing; raise ValueError as parse_peaks."""
        return parse_peaks(self._redis.get(peaks_key(pool)))

    def record_end(self, pool: str, end: End) -> None:
        """Keep how a task ended, in place of an older record of its field. All expire ENDS_TTL_S after the last."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(ends_key(pool), field_of(end.instance), end.to_json())
            pipe.expire(ends_key(pool), ENDS_TTL_S)
            pipe.execute()

    def ends(self, pool: str, instances: Sequence[str]) -> dict[str, End]:
        """Return how those of the task instances ended of which that is known, by id."""
        if not instances:
            return {}
        raw = self._redis.hmget(ends_key(pool), [field_of(instance) for instance in instances])
        found = (parse_end(each, instance=instance) for instance, each in zip(instances, raw, strict=True))
        return {end.instance: end for end in found if end is not None}

    def write_bundles(self, bundles: Bundles) -> None:
        """Replace the report on DAG bundles, which expires after BUNDLES_TTL_S."""
        self._redis.set(BUNDLES_KEY, to_json(bundles), ex=BUNDLES_TTL_S)

    def bundles(self) -> Bundles | None:
        """Return the report on DAG bundles; None without one; raise ValueError as parse_bundles."""
        return parse_bundles(self._redis.get(BUNDLES_KEY))

    def write_work(self, report: WorkReport) -> None:
        """Replace the report on Airflow's work, which expires after WORK_TTL_S; raise ValueError for an invalid one."""
        raw = work_to_json(report)
        parse_work(raw)
        self._redis.set(WORK_KEY, raw, ex=WORK_TTL_S)

    def work(self) -> WorkReport | None:
        """Return the report on Airflow's work; None without one; raise ValueError as parse_work."""
        return parse_work(self._redis.get(WORK_KEY))

    def write_events_position(self, until: float) -> None:
        """Keep until when all changes are sent to EventBridge, in seconds since the epoch."""
        self._redis.set(EVENTS_KEY, repr(until))

    def events_position(self) -> float | None:
        """Return what was kept; None if nothing, or no number."""
        raw = self._redis.get(EVENTS_KEY)
        try:
            return None if raw is None else float(_text(raw))
        except ValueError:
            return None

    def write_forecast(self, pool: str, forecast: Forecast) -> None:
        """Replace the pool's forecast, which expires after FORECAST_TTL_S; raise ValueError for an invalid one."""
        raw = json.dumps(forecast, separators=(",", ":"))
        parse_forecast(raw)
        self._redis.set(forecast_key(pool), raw, ex=FORECAST_TTL_S)

    def forecast(self, pool: str) -> Forecast | None:
        """Return the pool's forecast; None when there is none or it expired; raise ValueError as parse_forecast."""
        return parse_forecast(self._redis.get(forecast_key(pool)))


def read_each(client: Any, commands: Mapping[str, Command], *, raise_on_error: bool = False) -> dict[str, Any]:
    """Send the commands in one round trip; return each one's reply, by its name, or its error if none is raised."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands.values():
            pipe.execute_command(*command)
        return dict(zip(commands, pipe.execute(raise_on_error=raise_on_error), strict=True))


def _seconds(time: tuple[int, int]) -> float:
    return int(time[0]) + int(time[1]) / 1e6


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
