"""Remembers which signatures were used, in the broker's Redis, which every webserver shares."""

from __future__ import annotations

import redis

from fleet.access import SIGNATURE_PREFIX
from machines.refusals import Unavailable

# Longer than any signature is accepted (machines.aws), with both clocks a minute wrong.
KEPT_S = 15 * 60


class Signatures:
    """The used signatures. Without Redis none is accepted: it could have been used."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def is_first_use(self, signature: str) -> bool:
        """Remember the signature; return whether it was not known. Raises Unavailable."""
        try:
            return bool(self._client.set(f"{SIGNATURE_PREFIX}{signature}", b"", nx=True, ex=KEPT_S))
        except redis.RedisError as error:
            # Its message may hold the broker's address.
            raise Unavailable(f"used signatures cannot be remembered ({type(error).__name__})") from None
