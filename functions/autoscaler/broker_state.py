"""What of the broker belongs to no single pool: tasks that nobody runs any more, queues that nobody listens to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from fleet.queues import PRIORITY_SEPARATOR
from fleet.registry import CONSUMING, SCHEDULER, STOPPED, WORKER, Member, Roster

UNACKED = "unacked"  # kombu's hash of messages that are delivered and not acknowledged
# Lists that are not queues of tasks: the registry's, and those of Celery's events and remote control.
OTHER_PREFIXES = ("fleet:", "celeryev")
OTHER_SUFFIX = "celery.pidbox"
# The keys of 500 members and a few hundred queues fit into two pages.
KEYS_A_PAGE = 1000
MOST_PAGES = 10


@dataclass(frozen=True, kw_only=True)
class BrokerState:
    """None where it is not known, and `problem` says in words why.

    `phantoms`: a killed worker's messages stay unacknowledged for a day. `schedulers`: how many report that they live.
    """

    phantoms: int | None = None
    schedulers: int | None = None
    unconsumed: tuple[str, ...] | None = None
    problem: str = ""


def read_broker_state(client: redis.Redis, roster: Roster) -> BrokerState:
    """Costs as many commands as there are thousands of keys, however long the queues. Raises redis.RedisError.

    A task's queue is any name that its author wrote, and its list exists for as long as a message waits in it. Nothing
    else in Redis names all queues (kombu's bindings do so by exchange), so the lists are looked for.
    """
    workers = [member for member in roster.members if member.role == WORKER]
    in_flight: Any = client.hlen(UNACKED)
    waiting = _queues_with_messages(client)
    phantoms = max(0, in_flight - sum(worker.active for worker in workers))
    schedulers = sum(member.role == SCHEDULER and member.state != STOPPED for member in roster.members)
    # A malformed member may run tasks, and may listen to queues: without it neither figure is known.
    if roster.malformed:
        return BrokerState(problem=f"{len(roster.malformed)} malformed members")
    if waiting is None:
        return BrokerState(
            schedulers=schedulers, phantoms=phantoms, problem=f"more than {KEYS_A_PAGE * MOST_PAGES} keys"
        )
    return BrokerState(
        schedulers=schedulers,
        phantoms=phantoms,
        unconsumed=tuple(sorted(waiting - set(_listened_to(workers)))),
    )


def _listened_to(workers: Iterable[Member]) -> Iterable[str]:
    """One that starts may never get protection, and one that drains may stay so for hours: neither listens."""
    return (queue for worker in workers if worker.state == CONSUMING for queue in worker.queues)


def _queues_with_messages(client: Any) -> set[str] | None:
    """Redis keeps no empty list. None when there are too many keys to look at."""
    found: set[str] = set()
    cursor = 0
    for _ in range(MOST_PAGES):
        cursor, names = client.scan(cursor, count=KEYS_A_PAGE, _type="list")
        found |= {name.decode(errors="replace").partition(PRIORITY_SEPARATOR)[0] for name in names}
        if not cursor:
            return {name for name in found if not name.startswith(OTHER_PREFIXES) and not name.endswith(OTHER_SUFFIX)}
    return None
