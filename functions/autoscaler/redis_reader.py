"""Reads queues, workers and the broker's state as a whole from the broker's Redis."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis

from autoscaler.backing import BackedRoster
from autoscaler.observation import Fleet, Unreadable, Worker
from fleet.access import unacked_keys
from fleet.member import STOPPED
from fleet.pools import PRIORITY_SEPARATOR, Pool, lists_of, lists_of_pools
from fleet.registry import ORDERS, Command, order_key, read_each

QUEUES = "queues"
FLEET = "fleet"

# Lists that are not queues of tasks: the registry's, and those of Celery's events and remote control.
OTHER_PREFIXES = ("fleet:", "celeryev")
OTHER_SUFFIX = "celery.pidbox"
# The keys of 500 members and a few hundred queues fit into two pages.
KEYS_PER_PAGE = 1000
MAX_PAGES = 10

# 16 of the digest's 40 characters tell messages apart and are too few to test tokens against.
DIGESTS_OF_HEADS = """
local digests = {}
for i, key in ipairs(KEYS) do
  local head = redis.pcall('LINDEX', key, -1)
  digests[i] = type(head) == 'string' and string.sub(redis.sha1hex(head), 1, 16) or ''
end
return digests
"""


@dataclass(frozen=True, kw_only=True)
class QueueReading:
    """By pool: messages by queue, or why they are unknown; a digest of the oldest message by list."""

    queued: Mapping[str, Mapping[str, int] | Unreadable]
    heads: Mapping[str, Mapping[str, str]]


def read_queues(client: redis.Redis, pools: Sequence[Pool]) -> QueueReading:
    """Read all queues in one round trip. A key that is no list makes its pool unreadable.

    A message holds its task's token, so none leaves Redis: lengths and digests do. Raises redis.RedisError when Redis
    does not answer.
    """
    names = lists_of_pools(pools)
    commands: dict[str, Command] = {name: ("LLEN", name) for name in names}
    commands[DIGESTS_OF_HEADS] = ("EVAL", DIGESTS_OF_HEADS, len(names), *names)
    replies = read_each(client, commands)
    queued = {pool.name: _queues_of(pool, replies) for pool in pools}
    # Without digests only a metric is missing: no decision needs them.
    digests = replies[DIGESTS_OF_HEADS] if isinstance(replies[DIGESTS_OF_HEADS], list) else [b""] * len(names)
    head_of = {name: digest.decode() for name, digest in zip(names, digests, strict=True) if digest}
    heads = {pool.name: {n: head_of[n] for n in lists_of_pools([pool]) if n in head_of} for pool in pools}
    return QueueReading(queued=queued, heads=heads)


def _queues_of(pool: Pool, replies: Mapping[str, Any]) -> Mapping[str, int] | Unreadable:
    counts, problems = {}, []
    for queue in pool.queues:
        answers = [replies[name] for name in lists_of(queue)]
        wrong = [answer for answer in answers if type(answer) is not int or answer < 0]
        if wrong:
            problems.append(f"{queue}: {wrong[0]}")
        else:
            counts[queue] = sum(answers)
    return Unreadable(source=QUEUES, why="; ".join(problems)) if problems else counts


def read_fleets(
    client: redis.Redis, backed: BackedRoster, *, pools: Sequence[Pool], rolling_out: Collection[str], now: float
) -> dict[str, Fleet]:
    """Read the orders of all workers in one round trip; return the fleets by pool. Raises redis.RedisError.

    `rolling_out`: pools whose older workers may have more slots than the pool declares.
    """
    ids = [member.id for workers in backed.workers.values() for member in workers]
    # The stubs of redis-py say that this may be awaitable.
    raw: Any = client.mget([order_key(name) for name in ids]) if ids else []
    orders = {name: _order(order) for name, order in zip(ids, raw, strict=True)}
    fleets = {}
    for pool in pools:
        members, workers, limited = backed.workers[pool.name], [], []
        for member in members:
            claimed = max(member.slots, member.declared_slots)
            limit = max(pool.concurrency, claimed) if pool.name in rolling_out else pool.concurrency
            deployment = backed.deployments.get(member.id)
            worker = Worker.from_member(member, order=orders[member.id], now=now, limit=limit, deployment=deployment)
            workers.append(worker)
            if (worker.slots, worker.active) != (member.slots, member.active):
                limited.append(member.id)
        fleets[pool.name] = Fleet(
            workers=tuple(workers),
            malformed=backed.malformed[pool.name],
            limited=tuple(limited),
            ignored=backed.ignored[pool.name],
        )
    return fleets


def _order(raw: bytes | None) -> str | None:
    """Return the order, or None for anything else: a worker ignores it, and its last order stands."""
    order = None if raw is None else raw.decode(errors="replace")
    return order if order in ORDERS else None


@dataclass(frozen=True, kw_only=True)
class BrokerState:
    """The state of the broker that belongs to no single pool; None where unknown, and `problem` says why.

    `phantoms`: unacknowledged messages that no live worker runs; a killed worker's stay for a day. `schedulers`: how
    many report. `unconsumed`: queues with messages that no worker consumes.
    """

    phantoms: int | None = None
    schedulers: int | None = None
    unconsumed: tuple[str, ...] | None = None
    problem: str = ""


def read_broker_state(client: redis.Redis, backed: BackedRoster, pools: Sequence[Pool]) -> BrokerState:
    """Read the broker's state with a command a pool and one a thousand keys. Raises redis.RedisError.

    The queues' length does not matter.
    A task's queue may have any name, and its list exists as long as a message waits in it. Nothing else in Redis names
    all queues (kombu's bindings do so by exchange), so the lists are scanned.
    """
    workers = [member for members in backed.workers.values() for member in members]
    malformed = {name for names in backed.malformed.values() for name in names}
    with client.pipeline(transaction=False) as pipe:
        for pool in pools:
            pipe.hlen(unacked_keys(pool.name)[0])
        in_flight = sum(pipe.execute())
    waiting = _queues_with_messages(client)
    state = BrokerState(
        phantoms=max(0, in_flight - sum(worker.active for worker in workers)),
        schedulers=sum(member.state != STOPPED for member in backed.schedulers),
    )
    # A malformed member may run tasks and consume from queues: without it neither figure is known.
    if malformed:
        return BrokerState(problem=f"malformed members in the fleet registry: {len(malformed)}")
    if waiting is None:
        return replace(state, problem=f"more than {KEYS_PER_PAGE * MAX_PAGES} keys")
    # Only consuming workers: a starting one may never get protection, and a draining one may stay for hours.
    consumed = {queue for worker in workers if worker.is_consuming for queue in worker.queues}
    return replace(state, unconsumed=tuple(sorted(waiting - consumed)))


def _queues_with_messages(client: Any) -> set[str] | None:
    """Return the queues that have messages (Redis keeps no empty list); None if there are too many keys to scan."""
    found: set[str] = set()
    cursor = 0
    for _ in range(MAX_PAGES):
        cursor, names = client.scan(cursor, count=KEYS_PER_PAGE, _type="list")
        found |= {name.decode(errors="replace").partition(PRIORITY_SEPARATOR)[0] for name in names}
        if not cursor:
            return {name for name in found if not name.startswith(OTHER_PREFIXES) and not name.endswith(OTHER_SUFFIX)}
    return None
