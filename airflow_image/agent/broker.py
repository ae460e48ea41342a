"""The fleet's own connection to the broker's Redis."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agent import connections, variables
from fleet.registry import Registry

TIMEOUT_S = 2.0
DEFAULT_PATIENCE_MINUTES = 10


def patience_s(environment: Mapping[str, str]) -> float:
    """Return for how long a message or a result waits for a broker that is away, full or read-only.

    Raises ValueError.
    """
    return 60.0 * float(environment.get(variables.BROKER_PATIENCE_MINUTES) or DEFAULT_PATIENCE_MINUTES)


def connect(url: str) -> redis.Redis:
    """Return a client with short timeouts; its caller handles errors. TLS uses the system's trust store."""
    return redis.Redis.from_url(
        url,
        connection_class=connections.class_for(url),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        socket_keepalive=True,
        socket_keepalive_options=connections.KEEPALIVE,
        retry=Retry(NoBackoff(), 1),
    )


def registry_of(environment: Mapping[str, str]) -> Registry:
    """Return the registry as the container's own user writes it, and as its reader, if it has one, reads it."""
    reader = environment.get(variables.READER_URL)
    return Registry(connect(environment[variables.BROKER_URL]), reader=None if reader is None else connect(reader))


def in_words(error: BaseException) -> str:
    """Return an error's name, and the first word that Redis answered: the rest can hold a part of a message."""
    words = str(error).split()
    is_answer = isinstance(error, redis.ResponseError) and words and words[0].isupper()
    return f"{type(error).__name__} {words[0]}" if is_answer else type(error).__name__


class Outage:
    """A condition that can fail, such as "the broker is away", logged once when it begins and once when it ends."""

    def __init__(self, what: str, log: logging.Logger) -> None:
        self._what = what
        self._log = log
        self._lasts = False

    def begin(self, why: object) -> None:
        """Note a failure; log only the first in a row."""
        if not self._lasts:
            self._log.warning("fleet: %s: %s", self._what, why)
        self._lasts = True

    def end(self) -> None:
        """Note a success; log only the first after a failure."""
        if self._lasts:
            self._log.warning("fleet: resolved: %s", self._what)
        self._lasts = False
