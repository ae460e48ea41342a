"""How far changes were told, kept in the fleet registry."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import redis

from agent.broker import Outage, in_words
from fleet.registry import Registry

log = logging.getLogger(__name__)

# Where the registry has lost the position, as a broker without replica does with its node, changes are told again from
# so long ago, or from when they are followed.
AGAIN = timedelta(hours=24)


class Position:
    """The time until which all is told. While the broker is away it is kept here alone."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._outage = Outage("the position of events cannot be kept", log)
        self._known: datetime | None = None

    def begin(self, *, now: datetime, followed_since: datetime | None) -> datetime:
        """Return where to begin. Raises redis.RedisError if the registry cannot be read, and none is known here.

        `followed_since`: changes before it are not told.
        """
        if self._known is None:
            self._known = start(self._registry.events_position(), now=now, followed_since=followed_since)
        return self._known

    def forget(self) -> None:
        """Read it again at the next `begin`: another process may have gone on."""
        self._known = None

    def advance(self, until: datetime) -> None:
        """Note that all before `until` is told."""
        if self._known is None or until > self._known:
            self._known = until
        try:
            self._registry.write_events_position(self._known.timestamp())
        except redis.RedisError as error:
            self._outage.begin(in_words(error))
        else:
            self._outage.end()


def start(kept: float | None, *, now: datetime, followed_since: datetime | None) -> datetime:
    """Return where to begin with what the registry keeps, seconds since the epoch.

    A position that lies ahead, as after a wrong clock, is none.
    """
    known = None if kept is None or kept > now.timestamp() else datetime.fromtimestamp(kept, UTC)
    begin = known or now - AGAIN
    return begin if followed_since is None else max(begin, followed_since)
