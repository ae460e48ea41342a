"""Reads the Fleet page's data from Redis. The number of commands does not depend on the fleet's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from agent.page import words
from agent.page.code import code_by_role
from agent.page.entries import Decisions, read_check, read_decisions
from fleet import history, registry
from fleet.forecast import Forecast, parse_forecast
from fleet.member import CODE_FIELDS, CONSUMING, DRAINED, DRAINING, STARTING, STOPPED, WORKER, Member
from fleet.peaks import PoolPeaks, parse_peaks
from fleet.pools import Pool, lists_of_pools
from fleet.registry import Command, Registry, Roster, read_each

DECISIONS_SHOWN = 20  # of each pool
MOST_DIGITS = 9
SILENT_AFTER_S = 180  # the autoscaler ticks several times a minute
# The fields of a member that the page shows or compares.
MEMBER_FIELDS = (
    "id",
    "role",
    "pool",
    "state",
    "active",
    "slots",
    "declared_slots",
    "protected",
    "started_at",
    "left_behind",
    *CODE_FIELDS,
)
WORKER_STATES = (STARTING, CONSUMING, DRAINING, DRAINED)


def read_fleet(client: redis.Redis, pools: Sequence[Pool]) -> dict[str, Any]:
    """Return the present state, ready for JSON. Raises redis.RedisError when Redis does not answer."""
    roster = Registry(client).members()
    commands: dict[str, Command] = {name: ("LLEN", name) for name in lists_of_pools(pools)}
    for pool in pools:
        decisions = registry.decisions_key(pool.name)
        commands[decisions] = ("LRANGE", decisions, 0, DECISIONS_SHOWN - 1)
        waiting = registry.waiting_key(pool.name)
        commands[waiting] = ("GET", waiting)
        peaks = registry.peaks_key(pool.name)
        commands[peaks] = ("GET", peaks)
    replies = read_each(client, commands)
    decided = {pool.name: _decisions(replies[registry.decisions_key(pool.name)]) for pool in pools}
    roster = _without_ignored(roster, decided.values())
    code = _code(client, roster)
    shown = [_pool(pool, roster, replies, decided[pool.name]) for pool in pools]
    undeclared = {member.pool for member in _workers(roster.members)} - {pool.name for pool in pools}
    return {
        "read_at": roster.read_at,
        "code": code,
        "pools": shown,
        "undeclared_pools": sorted(str(name) for name in undeclared),
        "members": [_member(member, now=roster.read_at) for member in roster.members],
        "malformed": list(roster.malformed),
        **_bundles(client),
    }


def read_code(client: redis.Redis, _: Sequence[Pool]) -> dict[str, Any]:
    """Return which members run which code, ready for JSON. Raises redis.RedisError when Redis does not answer."""
    roster = Registry(client).members()
    return {"read_at": roster.read_at, "code": _code(client, roster)}


def read_history(client: redis.Redis, pools: Sequence[Pool]) -> dict[str, Any]:
    """Return history and forecast of the pools, ready for JSON. Raises redis.RedisError."""
    now = Registry(client).now()
    commands: dict[str, Command] = {}
    for pool in pools:
        past, expected = registry.history_key(pool.name), registry.forecast_key(pool.name)
        commands |= {past: ("HVALS", past), expected: ("GET", expected)}
    replies = read_each(client, commands)
    return {
        "read_at": now,
        "hours": history.HOURS,
        "step_s": history.STEP_S,
        "figures": history.FIGURES,
        "pools": [_past(pool, replies, now=now) for pool in pools],
    }


def _bundles(client: redis.Redis) -> dict[str, Any]:
    """Return the DAG bundles that have versions, and why they are not known."""
    try:
        found, trouble = Registry(client).bundles(), ""
    except ValueError as error:
        found, trouble = None, str(error)
    if found is None and not trouble:
        trouble = "The scheduler has not reported lately which versions of DAG bundles tasks run."
    return {"bundles": [each.to_record() for each in found or ()], "bundles_trouble": trouble}


def _code(client: redis.Redis, roster: Roster) -> dict[str, Any]:
    raw: Any = client.get(registry.VERSIONS_KEY)  # redis-py's stubs say that this may be awaitable
    code = code_by_role(roster.members, malformed=roster.malformed, check=read_check(raw, now=roster.read_at))
    return {**code, **words.verdict(code, now=roster.read_at)}


def _workers(members: Iterable[Member]) -> list[Member]:
    return [member for member in members if member.role == WORKER and member.state != STOPPED]


def _decisions(raw: Any) -> Decisions | None:
    """Return a pool's last decisions; None if they cannot be read."""
    return None if isinstance(raw, Exception) else read_decisions(raw)


def _without_ignored(roster: Roster, decided: Iterable[Decisions | None]) -> Roster:
    """Leave out the records that the autoscaler, which asks ECS, has just ignored. Its decisions name them."""
    latest = (each.entries[0] for each in decided if each is not None and each.entries)
    ignored = {name for entry in latest if _is_recent(entry, roster) for name in entry["ignored"]}
    return replace(
        roster,
        members=tuple(member for member in roster.members if member.id not in ignored),
        malformed=tuple(name for name in roster.malformed if name not in ignored),
    )


def _is_recent(decision: Mapping[str, Any], roster: Roster) -> bool:
    return bool(roster.read_at - decision["t"] <= SILENT_AFTER_S)


def _pool(pool: Pool, roster: Roster, replies: Mapping[str, Any], decisions: Decisions | None) -> dict[str, Any]:
    troubles: list[str] = []
    lengths = [replies[name] for name in lists_of_pools([pool])]
    queued = None if any(isinstance(length, Exception) for length in lengths) else sum(lengths)
    if queued is None:
        troubles.append("the queues cannot be read")
    waiting = _count(replies[registry.waiting_key(pool.name)])
    if waiting is None:
        troubles.append("the number of tasks that wait in the scheduler cannot be read")
    if decisions is None:
        decisions = Decisions(entries=(), malformed=0)
        troubles.append("the decisions cannot be read")
    elif not (decisions.entries or decisions.malformed):
        troubles.append("no decision is recorded")
    if decisions.malformed:
        read = len(decisions.entries) + decisions.malformed
        troubles.append(f"malformed decisions among the last {read}: {decisions.malformed}")
    needs = ""
    try:
        needs = words.needs(_peaks(replies[registry.peaks_key(pool.name)]), slots=pool.concurrency)
    except ValueError as error:
        troubles.append(f"the memory that tasks need cannot be read: {error}")
    workers = [member for member in _workers(roster.members) if member.pool == pool.name]
    states = Counter(worker.state for worker in workers)
    latest = decisions.entries[0] if decisions.entries else {}
    if latest and not _is_recent(latest, roster):
        troubles.append(f"the autoscaler has decided nothing for more than {SILENT_AFTER_S} s")
    elif latest and latest["ignored"]:
        troubles.append(f"records without a running ECS task of the pool, ignored: {', '.join(latest['ignored'])}")
    reported = sum(states[state] for state in WORKER_STATES)
    is_decided = bool(latest) and _is_recent(latest, roster)
    launched = max(0, (latest.get("desired") or 0) - reported) if is_decided else 0
    begun = [worker.started_at for worker in workers if worker.state == STARTING]
    if launched and (launch := _last_launch(decisions)) is not None:
        begun.append(launch)
    return {
        "name": pool.name,
        "queues": pool.queues,
        "concurrency": pool.concurrency,
        "maximum": pool.maximum,
        "queued": queued,
        "waiting": waiting,
        "active": sum(worker.active for worker in workers),
        "slots": sum(worker.slots for worker in workers if worker.state == CONSUMING),
        "memory": words.memory(workers),
        "needs": needs,
        **{state: states[state] for state in WORKER_STATES},
        "desired": latest.get("desired"),
        "decided_at": latest.get("t"),
        "decisions": decisions.entries,
        "coming": words.coming(states[STARTING] + launched, since=min(begun, default=None), now=roster.read_at),
        "troubles": troubles,
    }


def _last_launch(decisions: Decisions) -> float | None:
    """Return the time of the last decision that raised the desired count, of those read."""
    for entry in decisions.entries:
        if entry["was"] is not None and entry["desired"] is not None and entry["desired"] > entry["was"]:
            return float(entry["t"])
    return None


def _count(raw: Any) -> int | None:
    """Return the number that Redis holds: 0 without one, None if it cannot be read."""
    if raw is None:
        return 0
    return int(raw) if isinstance(raw, bytes) and raw.isdigit() and len(raw) <= MOST_DIGITS else None


def _peaks(raw: Any) -> PoolPeaks | None:
    if isinstance(raw, Exception):
        raise ValueError("no answer of Redis")
    return parse_peaks(raw)


def _past(pool: Pool, replies: Mapping[str, Any], *, now: float) -> dict[str, Any]:
    troubles = []
    raw, expected = replies[registry.history_key(pool.name)], replies[registry.forecast_key(pool.name)]
    if isinstance(raw, Exception):
        raw = []
        troubles.append("the history cannot be read")
    samples, malformed = history.read_samples(raw, now=now)
    if malformed:
        troubles.append(f"malformed samples in the history: {malformed}")
    forecast: Forecast | None = None
    sentence: words.Parts = []
    if isinstance(expected, Exception):
        troubles.append("the forecast cannot be read")
    else:
        try:
            forecast = parse_forecast(expected)
            sentence = words.expected(forecast, now=now)
        except ValueError as error:
            troubles.append(str(error))
    return {"name": pool.name, "samples": samples, "forecast": forecast, "expected": sentence, "troubles": troubles}


def _member(member: Member, *, now: float) -> dict[str, Any]:
    return {
        **{name: getattr(member, name) for name in MEMBER_FIELDS},
        "seen_s_ago": round(max(0.0, now - member.last_seen), 1),
    }
