"""Finds tasks whose message the broker has lost: Airflow knows them as queued, and no message waits for them.

Redis loses messages when it starts empty, in a failover to a replica that lags behind, and when it gives a message to a
connection that is gone. A worker drops one whose token has expired. Airflow itself fails such a task when it has waited
for too long, or leaves it queued where there is no such limit.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

import redis

from fleet.pools import lists_of

# A worker that has taken a message starts its task within seconds. A task queued again by mistake, because the
# webserver is away for longer, runs once all the same: see agent.runner.obsolete.
LOST_AFTER_S = 60.0
MOST_TIMES = 5  # that one try of a task is queued again
GIVE_UP_AFTER_S = 1800.0  # since the last of these times; then it fails. A webserver that is away may be back by then
PAGE = 500


class Sightings:
    """Notes when each message was last known to wait. Times are monotonic seconds; ids are Celery's."""

    def __init__(self) -> None:
        self._seen_at: dict[str, float] = {}

    def overdue(self, queued: Collection[str], *, now: float) -> set[str]:
        """Return those of the queued tasks whose message was not seen for LOST_AFTER_S, nor sent since."""
        self._seen_at = {task: self._seen_at.get(task, now) for task in queued}
        return {task for task, at in self._seen_at.items() if now - at >= LOST_AFTER_S}

    def see(self, waiting: Iterable[str], *, now: float) -> None:
        """Note that these messages wait."""
        self._seen_at |= dict.fromkeys(self._seen_at.keys() & set(waiting), now)


def waiting_in(client: redis.Redis, queues: Iterable[str]) -> set[str]:
    """Return the ids of the tasks whose messages wait in the queues. Raises redis.RedisError.

    New messages move those that are not read yet away from the list's head, so some are read twice, and none is missed.
    """
    found: set[str] = set()
    for queue in queues:
        for name in lists_of(queue):
            start = 0
            while page := client.lrange(name, start, start + PAGE - 1):
                found.update(map(_task_of, page))
                start += PAGE
    return found


def _task_of(message: bytes | str) -> str:
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""
