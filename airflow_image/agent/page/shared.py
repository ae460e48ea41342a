"""Lets those who ask for the same thing at about the same time share one answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

FRESH_S = 1.0  # the page asks every two seconds

T = TypeVar("T")


class Shared(Generic[T]):
    """What `make` made last, for as long as it is fresh. Threads that ask meanwhile wait for the one that makes it."""

    def __init__(self, make: Callable[[], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock  # seconds
        self._one_at_a_time = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self, *, anew: bool = False) -> T:
        """At most FRESH_S old, or made now. What `make` raises is raised, and not kept."""
        with self._one_at_a_time:
            if self._kept is None or anew or self._clock() - self._kept[0] >= FRESH_S:
                made = self._make()
                self._kept = (self._clock(), made)
            return self._kept[1]
