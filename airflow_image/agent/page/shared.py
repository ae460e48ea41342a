"""Lets requests for the same thing at about the same time share one answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

FRESH_S = 1.0  # the page asks every two seconds

T = TypeVar("T")


class Shared(Generic[T]):
    """Keeps the last result of `make` while it is fresh. Other threads wait while one makes it."""

    def __init__(self, make: Callable[[], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock  # seconds
        self._one_at_a_time = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self, *, anew: bool = False) -> T:
        """Return a result at most FRESH_S old, or with `anew` a new one. Errors of `make` are raised and not kept."""
        with self._one_at_a_time:
            if self._kept is None or anew or self._clock() - self._kept[0] >= FRESH_S:
                made = self._make()
                self._kept = (self._clock(), made)
            return self._kept[1]
