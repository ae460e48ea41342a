"""Remembers the last state that was told of each run and try, so that a state is told once."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

from agent.events.event import Event
from agent.events.rows import TRY_ENDED

# Each takes some 250 bytes. What is forgotten is told again if its row changes.
MOST = 100_000


class Told:
    """The last state of up to `most` runs and tries, those that were seen last."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._last: OrderedDict[bytes, tuple[str, datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def add(self, event: Event) -> None:
        """Note that the event was sent."""
        key = _key(event.subject)
        self._last[key] = (event.state, event.since)
        self._last.move_to_end(key)
        while len(self._last) > self._most:
            self._last.popitem(last=False)

    def unknown(self, events: Iterable[Event]) -> list[Event]:
        """Return those whose state is not the last that was told of their subject."""
        return [event for event in events if not self._knows(event, is_past=False)]

    def unknown_past(self, events: Iterable[Event]) -> list[Event]:
        """Return those of past tries whose end was not told.

        Whether a failed try was retried, or cleared later by a person, the database does not say: who has seen its end
        knows better.
        """
        return [event for event in events if not self._knows(event, is_past=True)]

    def _knows(self, event: Event, *, is_past: bool) -> bool:
        key = _key(event.subject)
        last = self._last.get(key)
        if last is None:
            return False
        self._last.move_to_end(key)
        state, since = last
        if is_past:
            return since == event.since and state in TRY_ENDED
        return last == (event.state, event.since)


def _key(subject: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(json.dumps(subject).encode(), digest_size=16).digest()
