"""Reads the pools' queues and workers from the broker's Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from autoscaler.observation import Fleet, Unreadable, Worker
from fleet import registry
from shared.pools import Pool

# How kombu's Redis transport spreads a queue over lists (its default sep and priority_steps; step 0 has no suffix).
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (3, 6, 9)

QUEUES = "queues"
FLEET = "fleet"
WORKER_ROLE = "worker"


@dataclass(frozen=True, kw_only=True)
class FleetReading:
    """The fleets by pool, and Redis's time in seconds since the epoch."""

    fleets: Mapping[str, Fleet]
    now: float


def lists_of(queue: str) -> tuple[str, ...]:
    """The Redis lists that hold a queue's messages."""
    return (queue, *(f"{queue}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS))


def read_queues(client: redis.Redis, pools: Sequence[Pool]) -> dict[str, Mapping[str, int] | Unreadable]:
    """Messages by queue, by pool, in one round trip; a key that is no list makes its pool unreadable.

    Only lengths are read: a message holds its task's token. Raises redis.RedisError when Redis does not answer.
    """
    with client.pipeline(transaction=False) as pipe:
        for pool in pools:
            for queue in pool.queues:
                for name in lists_of(queue):
                    pipe.llen(name)
        lengths = iter(pipe.execute(raise_on_error=False))
    return {pool.name: _queues_of(pool, lengths) for pool in pools}


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
    workers = [member for member in roster.members if member.role == WORKER_ROLE]
    # The stubs of redis-py say that this may be awaitable.
    raw: Any = client.mget([registry.order_key(member.id) for member in workers]) if workers else []
    by_pool: dict[str | None, list[Worker]] = {}
    for member, order in zip(workers, raw, strict=True):
        by_pool.setdefault(member.pool, []).append(Worker.from_member(member, order=_order(order), now=roster.read_at))
    fleets = {pool.name: Fleet(workers=tuple(by_pool.get(pool.name, ())), malformed=roster.malformed) for pool in pools}
    return FleetReading(fleets=fleets, now=roster.read_at)


def _order(raw: bytes | None) -> str | None:
    """The order, or None: a worker ignores what is no order, so the last one that it understood stands."""
    order = None if raw is None else raw.decode(errors="replace")
    return order if order in registry.ORDERS else None
