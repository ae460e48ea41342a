"""The fleet's own connection to the broker's Redis."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 2.0


def connect(url: str) -> redis.Redis:
    """A client that gives up soon, so that its caller decides what to do. TLS trusts what this machine trusts."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 1)
    )
