"""The public keys of an issuer of tokens, fetched when they are needed and kept for some time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from machines.fetch import fetch_json
from machines.refusals import BadProof, Unavailable
from machines.rules import is_address

METADATA = "/.well-known/openid-configuration"
# A key that an issuer withdraws is used for so long; while the issuer is away, LONGEST_S.
FRESH_S, LONGEST_S = 600.0, 3600.0
# Forged tokens with unknown keys cost one fetch in so long.
PAUSE_S = 30.0
MOST_KEYS = 100
KINDS = frozenset(("RSA", "EC"))  # no key that is a secret
LEAST_RSA_BITS = 2048

Fetch = Callable[[str], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Keys by their id, and when they were fetched."""

    keys: dict[str, Any]
    at: float


class Keys:
    """The keys of one issuer. Threads may share it: one fetches, the others wait for it."""

    def __init__(self, issuer: str, *, fetch: Fetch = fetch_json, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._fetch, self._clock = issuer, fetch, clock
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._tried_at = float("-inf")
        self._failure = ""

    def find(self, key_id: str) -> Any:
        """Return the key with this id. Raises BadProof if the issuer has none, Unavailable if it cannot be asked."""
        with self._lock:
            now = self._clock()
            is_useful = self._known is None or key_id not in self._known.keys or now - self._known.at >= FRESH_S
            if is_useful and now - self._tried_at >= PAUSE_S:
                self._refresh(now)
            known = self._known
            if known is None or self._clock() - known.at >= LONGEST_S:
                raise Unavailable(f"the keys of {self._issuer} are not known: {self._failure}")
            if key_id not in known.keys:
                # With keys that may be older than the token's, the token may be right.
                if self._failure:
                    raise Unavailable(f"the present keys of {self._issuer} are not known: {self._failure}")
                raise BadProof("it is signed with none of the issuer's keys")
            return known.keys[key_id]

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            self._known = _Known(keys=self._read(), at=now)
        except Unavailable as error:
            self._failure = str(error)
        else:
            self._failure = ""

    def _read(self) -> dict[str, Any]:
        metadata = self._fetch(self._issuer.rstrip("/") + METADATA)
        if metadata.get("issuer") != self._issuer:
            raise Unavailable("its metadata name another issuer")
        where = metadata.get("jwks_uri")
        if not isinstance(where, str) or not _may_be_there(where, issuer=self._issuer):
            raise Unavailable("its metadata name no https address of its keys")
        listed = self._fetch(where).get("keys")
        if not isinstance(listed, list):
            raise Unavailable("its keys are no list")
        found = (_key(each) for each in listed[:MOST_KEYS])
        return {key.key_id: key for key in found if key is not None}


def _may_be_there(url: str, *, issuer: str) -> bool:
    """Return whether keys may be fetched there: an issuer on another machine names no address on this one."""
    return is_address(url.partition("?")[0]) and (url.startswith("https:") or issuer.startswith("http:"))


def _key(described: Any) -> Any:
    """Return a public key for signatures; None for another kind of key, a weak one, or one that cannot be read."""
    if not isinstance(described, dict) or described.get("kty") not in KINDS or described.get("use", "sig") != "sig":
        return None
    if not isinstance(described.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(described)
        is_strong = described["kty"] != "RSA" or key.key.key_size >= LEAST_RSA_BITS
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    return key if is_strong else None
