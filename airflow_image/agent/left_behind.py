"""Counts the processes that this worker's tasks have left behind, and that the runner has ended."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


class Tally:
    """A count since the worker's start; threads may share it."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def add(self, ended: int, *, task: str) -> None:
        """Add and log how many processes had to be ended after one task."""
        with self._lock:
            self.total += ended
        log.warning("fleet: the task %s has left %d processes behind, which are ended", task, ended)


tally = Tally()
