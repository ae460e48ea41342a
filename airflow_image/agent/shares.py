"""Decides how many tasks of each pool may be in the broker, so that a full pool keeps no other pool's tasks waiting."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from fleet.pools import Pool

# Messages that wait in the broker of a full pool are taken in the order in which they were sent. So no more wait than
# its workers take within a few loops of the scheduler: as many as the pool's tasks that ended in this time,
RECENT_S = 5.0
# and at least so many, a part of its slots, for tasks that end together.
LEAST_AHEAD = 2
AHEAD_OF_SLOTS = 1 / 8
# While workers drain or retire, others run tasks in their place: at most twice as many slots are taken.
MOST_OF_SLOTS = 2


class Shares:
    """What each pool may have in the broker. Times are monotonic seconds."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        pools = tuple(pools)
        self._slots = {pool.name: pool.maximum * pool.concurrency for pool in pools}
        self._pool_of = {queue: pool.name for pool in pools for queue in pool.queues}
        self._ended: dict[str, deque[float]] = {pool.name: deque() for pool in pools}

    def pool_of(self, queue: str | None) -> str | None:
        """Return the pool that serves the queue, or None."""
        return None if queue is None else self._pool_of.get(queue)

    def slots(self, pool: str) -> int:
        """Return how many tasks the pool can run at once when it has its maximum of workers."""
        return self._slots[pool]

    def note_end(self, queue: str | None, *, now: float) -> None:
        """Note that a task of the queue has ended."""
        if (pool := self.pool_of(queue)) is not None:
            self._ended[pool].append(now)

    def ahead(self, pool: str, *, now: float) -> int:
        """Return how many messages may wait in the broker while all slots of the pool are taken."""
        ended = self._ended[pool]
        while ended and now - ended[0] > RECENT_S:
            ended.popleft()
        return max(LEAST_AHEAD, math.ceil(self._slots[pool] * AHEAD_OF_SLOTS), len(ended))

    def room(self, pool: str, *, published: int, waiting: int | None, now: float) -> int:
        """Return how many more tasks of the pool may be sent.

        `published`: the tasks that were sent and have not ended. `waiting`: the messages that wait in the pool's
        queues; None if it is unknown. When tasks that were sent outnumber the slots and no message waits, further
        workers run tasks, or results are late: then messages are sent all the same, within MOST_OF_SLOTS.
        """
        slots, ahead = self._slots[pool], self.ahead(pool, now=now)
        room = slots + ahead - published
        if waiting is not None:
            room = max(room, min(ahead - waiting, MOST_OF_SLOTS * slots + ahead - published))
        return max(0, room)
