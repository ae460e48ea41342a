"""Says for how long events have been waiting because the bus, the broker or the database did not take part.

An alarm reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

FIELD = "events_waiting_s"  # the template's metric filter reads it
WRITE_EVERY_S = 30.0


class Waiting:
    """Writes a line now and then while events wait, and none while they do not. Times are seconds."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._since: float | None = None
        self._due = 0.0

    def note_failure(self, *, now: float) -> None:
        """Note that a tick has failed."""
        if self._since is None:
            self._since = self._due = now
        if now >= self._due:
            self._write(json.dumps({FIELD: round(now - self._since, 1)}))
            self._due = now + WRITE_EVERY_S

    def note_success(self) -> None:
        """Note that nothing waits."""
        self._since = None
