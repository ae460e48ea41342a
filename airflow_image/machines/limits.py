"""Limits how many requests for a token one address may make, and how many are checked at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from machines.refusals import TooMany

# Of each process of the webserver. A job needs one in 15 minutes, and many jobs may share an address.
MOST_A_MINUTE = 60
MINUTE_S = 60.0
# A check waits for another server for up to 10 s, on one of the threads that serve the REST API, too: there are 40.
MOST_AT_ONCE = 8
MOST_ADDRESSES = 10_000


class Limits:
    """Counts requests. Threads may share it."""

    def __init__(
        self,
        *,
        most_a_minute: int = MOST_A_MINUTE,
        most_at_once: int = MOST_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_a_minute, self._clock = most_a_minute, clock
        self._slots = threading.BoundedSemaphore(most_at_once)
        self._lock = threading.Lock()
        # By address: when it is forgotten, and its requests until then. In the order of these times.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @contextlib.contextmanager
    def admit(self, address: str) -> Iterator[None]:
        """Let a request of this address be checked in the block. Raises TooMany."""
        self._count(address)
        if not self._slots.acquire(blocking=False):
            raise TooMany("too many machines ask for a token at once")
        try:
            yield
        finally:
            self._slots.release()

    def _count(self, address: str) -> None:
        with self._lock:
            now = self._clock()
            while self._counts and next(iter(self._counts.values()))[0] <= now:
                self._counts.popitem(last=False)
            ends, count = self._counts.get(address, (now + MINUTE_S, 0))
            if count >= self._most_a_minute:
                raise TooMany(f"more than {self._most_a_minute} requests for a token in a minute come from {address}")
            if count == 0 and len(self._counts) >= MOST_ADDRESSES:
                self._counts.popitem(last=False)
            self._counts[address] = (ends, count + 1)
