"""Reads from Redis what the workers of a queue do. The number of commands does not depend on the fleet's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import redis

from agent.page.entries import read_decisions
from agent.why.facts import Decision, Fleet
from agent.why.queueing import median_of
from fleet import registry
from fleet.ends import End
from fleet.forecast import parse_forecast
from fleet.member import SCHEDULER, STOPPED, WEBSERVER, WORKER, Code, Member
from fleet.pools import Pool
from fleet.registry import Command, Registry, read_each
from fleet.validation import is_count, is_time, loads

DECISIONS_READ = 40  # some ten minutes of the autoscaler's ticks
MOST_DIGITS = 9
NO_ANSWER = "the broker does not answer the webserver."


def read_fleet(client: redis.Redis, pools: Sequence[Pool], queue: str) -> Fleet:
    """Return what is known of the pool that serves the queue. A broker that does not answer is the fleet's trouble."""
    served = tuple(sorted({name for pool in pools for name in pool.queues}))
    pool = next((each for each in pools if queue in each.queues), None)
    try:
        roster = Registry(client).members()
        replies = read_each(client, _commands(pool)) if pool else {}
    except redis.RedisError:
        return Fleet(trouble=NO_ANSWER, pool=pool, served=served)
    schedulers = sum(member.role == SCHEDULER for member in roster.members)
    common: dict[str, Any] = {"served": served, "webserver": _webserver(roster.members), "schedulers": schedulers}
    if pool is None:
        return Fleet(**common)
    workers = [m for m in roster.members if m.role == WORKER and m.pool == pool.name and m.state != STOPPED]
    memory = _memory(replies[registry.scaler_key(pool.name)])
    launches = _launches(memory)
    return Fleet(
        **common,
        pool=pool,
        workers=tuple(workers),
        decisions=_decisions(replies[registry.decisions_key(pool.name)]),
        booting=sum(number for _, number in launches),
        booting_since=min((at for at, _ in launches), default=None),
        boot_takes_s=median_of([took for took in _list(memory.get(registry.BOOTS_TOOK)) if is_time(took)]),
        waiting=_count(replies[registry.waiting_key(pool.name)]),
        expected=_expected(replies[registry.forecast_key(pool.name)]),
    )


def read_ends(client: redis.Redis, pools: Sequence[Pool], queue: str, instances: Sequence[str]) -> dict[str, End]:
    """Return how tries of the queue's pool ended that did not end by themselves; none if the broker does not answer.

    Only the workers of a pool can write its records, so no other pool's can tell about this task.
    """
    pool = next((each for each in pools if queue in each.queues), None)
    if pool is None:
        return {}
    try:
        return Registry(client).ends(pool.name, instances)
    except redis.RedisError:
        return {}


def _commands(pool: Pool) -> dict[str, Command]:
    decisions, name = registry.decisions_key(pool.name), pool.name
    read = (registry.scaler_key(name), registry.waiting_key(name), registry.forecast_key(name))
    return {decisions: ("LRANGE", decisions, 0, DECISIONS_READ - 1), **{key: ("GET", key) for key in read}}


def _webserver(members: Sequence[Member]) -> Code | None:
    webservers = [member for member in members if member.role == WEBSERVER]
    return max(webservers, key=lambda each: (each.started_at, each.id)).code if webservers else None


def _decisions(raw: Any) -> tuple[Decision, ...]:
    entries = () if isinstance(raw, Exception) else read_decisions(raw).entries
    return tuple(Decision(t=each["t"], reason=each["reason"], desired=each["desired"]) for each in entries)


def _memory(raw: Any) -> Mapping[str, Any]:
    memory = None if raw is None or isinstance(raw, Exception) else loads(raw)
    return memory if isinstance(memory, dict) else {}


def _launches(memory: Mapping[str, Any]) -> list[tuple[float, int]]:
    pairs = [each for each in _list(memory.get(registry.LAUNCHES)) if isinstance(each, list) and len(each) == 2]
    return [(at, number) for at, number in pairs if is_time(at) and is_count(number)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(raw: Any) -> int:
    return int(raw) if isinstance(raw, bytes) and raw.isdigit() and len(raw) <= MOST_DIGITS else 0


def _expected(raw: Any) -> tuple[tuple[float, int], ...]:
    try:
        forecast = None if isinstance(raw, Exception) else parse_forecast(raw)
    except ValueError:
        return ()
    return tuple((float(at), slots) for at, slots in forecast or ())
