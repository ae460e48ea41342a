"""The fleet's own connection to the broker's Redis."""

from __future__ import annotations

import logging

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 2.0


def connect(url: str) -> redis.Redis:
    """A client that gives up soon, so that its caller decides what to do. TLS trusts what this machine trusts."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 1)
    )


class Outage:
    """One thing that can be wrong, such as "the broker is away"."""

    def __init__(self, what: str, log: logging.Logger) -> None:
        self._what = what
        self._log = log
        self._lasts = False

    def begin(self, why: object) -> None:
        """Called at every failure; logs the first of a row."""
        if not self._lasts:
            self._log.warning("fleet: %s: %s", self._what, why)
        self._lasts = True

    def end(self) -> None:
        """Called at every success; logs the first after a failure."""
        if self._lasts:
            self._log.warning("fleet: no longer: %s", self._what)
        self._lasts = False
