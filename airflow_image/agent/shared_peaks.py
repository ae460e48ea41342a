"""Shares with the other workers of the pool, of now and later, how much memory its tasks need."""

from __future__ import annotations

import logging
import time

import redis

from agent.admission import Admission
from agent.broker import Outage
from fleet.peaks import PoolPeaks
from fleet.registry import Registry

log = logging.getLogger(__name__)

SHARE_EVERY_S = 30.0
NOTHING = PoolPeaks(last=(), room=0)


class SharedPeaks:
    """Reads what is known once, before the first task, and adds what this worker learns."""

    def __init__(self, registry: Registry, pool: str, admission: Admission) -> None:
        self._registry, self._pool, self._admission = registry, pool, admission
        self._record = Outage("what the pool's tasks need is not readable, and is learned anew", log)
        self._has_read = False
        self._share_at = 0.0

    def share(self) -> None:
        """Read or write, when it is time. Raises redis.RedisError when Redis does not answer.

        Of two workers that write at once, one loses what it has added: some peaks of many.
        """
        now = time.monotonic()
        if self._has_read and now < self._share_at:
            return
        self._share_at = now + SHARE_EVERY_S
        known = self._read()
        if not self._has_read:
            self._admission.adopt(known)
            self._has_read = True
        elif (more := self._admission.added_to(known)) is not None:
            self._registry.write_peaks(self._pool, more)

    def _read(self) -> PoolPeaks:
        try:
            known = self._registry.peaks(self._pool) or NOTHING
        except (redis.ResponseError, ValueError) as error:
            self._record.begin(type(error).__name__)
            return NOTHING
        self._record.end()
        return known
