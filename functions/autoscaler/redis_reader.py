"""Reads the pools' queues and workers from the broker's Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from autoscaler.observation import Fleet, Unreadable, Worker
from fleet import registry
from fleet.pools import Pool
from fleet.queues import lists_of

QUEUES = "queues"
FLEET = "fleet"

# 16 of the digest's 40 characters tell messages apart and are nothing to try tokens against.
DIGESTS_OF_HEADS = """
local digests = {}
for i, key in ipairs(KEYS) do
  local head = redis.pcall('LINDEX', key, -1)
  digests[i] = type(head) == 'string' and string.sub(redis.sha1hex(head), 1, 16) or ''
end
return digests
"""


@dataclass(frozen=True, kw_only=True)
class FleetReading:
    """The fleets by pool, Redis's time in seconds since the epoch, and the registry as it was read."""

    fleets: Mapping[str, Fleet]
    now: float
    roster: registry.Roster


@dataclass(frozen=True, kw_only=True)
class QueueReading:
    """By pool: messages by queue, or why they are not known; a digest of the oldest message by list."""

    queued: Mapping[str, Mapping[str, int] | Unreadable]
    heads: Mapping[str, Mapping[str, str]]


def read_queues(client: redis.Redis, pools: Sequence[Pool]) -> QueueReading:
    """Reads all queues in one round trip; a key that is no list makes its pool unreadable.

    A message holds its task's token, so none leaves Redis: lengths and digests do. Raises redis.RedisError when Redis
    does not answer.
    """
    names = [name for pool in pools for queue in pool.queues for name in lists_of(queue)]
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name)
        pipe.eval(DIGESTS_OF_HEADS, len(names), *names)
        *answers, digests = pipe.execute(raise_on_error=False)
    lengths = iter(answers)
    queued = {pool.name: _queues_of(pool, lengths) for pool in pools}
    # Without digests there is a metric less, and no decision.
    digests = digests if isinstance(digests, list) else [b""] * len(names)
    head_of = {name: digest.decode() for name, digest in zip(names, digests, strict=True) if digest}
    heads = {
        pool.name: {name: head_of[name] for queue in pool.queues for name in lists_of(queue) if name in head_of}
        for pool in pools
    }
    return QueueReading(queued=queued, heads=heads)


def _queues_of(pool: Pool, lengths: Iterator[Any]) -> Mapping[str, int] | Unreadable:
    counts, problems = {}, []
    for queue in pool.queues:
        answers = [next(lengths) for _ in lists_of(queue)]
        wrong = [answer for answer in answers if type(answer) is not int or answer < 0]
        if wrong:
            problems.append(f"{queue}: {wrong[0]}")
        else:
            counts[queue] = sum(answers)
    return Unreadable(source=QUEUES, why="; ".join(problems)) if problems else counts


def read_fleet(client: redis.Redis, pools: Sequence[Pool]) -> FleetReading:
    """The workers of every pool with their orders, in three round trips however many they are.

    A malformed member belongs to no pool that one could know, so each pool gets it. Raises redis.RedisError.
    """
    roster = registry.Registry(client).members()
    workers = [member for member in roster.members if member.role == registry.WORKER]
    # The stubs of redis-py say that this may be awaitable.
    raw: Any = client.mget([registry.order_key(member.id) for member in workers]) if workers else []
    by_pool: dict[str | None, list[Worker]] = {}
    for member, order in zip(workers, raw, strict=True):
        by_pool.setdefault(member.pool, []).append(Worker.from_member(member, order=_order(order), now=roster.read_at))
    fleets = {pool.name: Fleet(workers=tuple(by_pool.get(pool.name, ())), malformed=roster.malformed) for pool in pools}
    return FleetReading(fleets=fleets, now=roster.read_at, roster=roster)


def _order(raw: bytes | None) -> str | None:
    """The order, or None: a worker ignores what is no order, so the last one that it understood stands."""
    order = None if raw is None else raw.decode(errors="replace")
    return order if order in registry.ORDERS else None
