"""Limits failed attempts to sign in with a password, by the address that they come from.

No name alone is limited: anyone could then lock its user out.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock

WINDOW_S = 60.0
MOST_WITH_A_NAME = 10
MOST_OF_AN_ADDRESS = 60  # of all names: people behind one proxy have one address
# Beyond it the key that was used the longest ago is forgotten: memory stays bounded, whatever is tried.
MOST_KEYS = 10_000

# Of the request that the present task or thread answers.
ADDRESS: ContextVar[str] = ContextVar("address", default="")


class Attempts:
    """Counts in this process: several processes of a webserver allow as many times as much.

    An attempt counts from its start, so that many at once are limited too; one that succeeds no longer counts.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._at: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, *, address: str, name: str) -> float:
        """Return 0 and count an attempt, or return the seconds after which the next one is allowed."""
        keys = _keys(address, name)
        with self._lock:
            now = self._clock()
            waits = [self._wait_s(key, most, now) for key, most in keys]
            if max(waits) <= 0:
                # Only now: attempts that are refused must not push others' counts out.
                for key, _ in keys:
                    self._at.setdefault(key, deque()).append(now)
            while len(self._at) > MOST_KEYS:
                self._at.popitem(last=False)
            return max(waits)

    def succeeded(self, *, address: str, name: str) -> None:
        """Forget the latest attempt of this address with this name."""
        with self._lock:
            for key, _ in _keys(address, name):
                if found := self._at.get(key):
                    found.pop()

    def _wait_s(self, key: str, most: int, now: float) -> float:
        at = self._at.get(key)
        if at is None:
            return 0.0
        self._at.move_to_end(key)
        while at and at[0] <= now - WINDOW_S:
            at.popleft()
        return at[0] + WINDOW_S - now if len(at) >= most else 0.0


def _keys(address: str, name: str) -> tuple[tuple[str, int], ...]:
    return (address, MOST_OF_AN_ADDRESS), (f"{address} {name.lower()[:256]}", MOST_WITH_A_NAME)


def address_of(forwarded_for: str, client: str) -> str:
    """Return the address that the load balancer saw: the last one, which the caller cannot choose."""
    return forwarded_for.rpartition(",")[2].strip() or client
