"""What an issuer of tokens publishes, its metadata and keys, fetched when they are needed and kept for some time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from oidc.addresses import may_name
from oidc.fetch import ProviderAway, fetch_json

METADATA = "/.well-known/openid-configuration"
KEYS = "jwks_uri"
# A key that an issuer withdraws is used for so long; while the issuer is away, LONGEST_S.
FRESH_S, LONGEST_S = 300.0, 3600.0
# A token may be signed with a key that was published just now. But forged tokens with unknown keys cost one fetch in so
# long, and an issuer that is away does not keep one thread of the webserver after the other waiting.
PAUSE_S = 10.0
MOST_KEYS = 100
KINDS = frozenset(("RSA", "EC", "OKP"))  # no key that is a secret
LEAST_RSA_BITS = 2048

Fetch = Callable[[str], dict[str, Any]]


class UnknownKey(Exception):
    """The issuer has no such key."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Metadata, keys by their id, and when they were fetched."""

    metadata: Mapping[str, Any]
    keys: Mapping[str, jwt.PyJWK]
    at: float


class Issuer:
    """One issuer. Threads may share it: one fetches, the others wait for it."""

    def __init__(self, name: str, *, fetch: Fetch = fetch_json, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._tried_at = float("-inf")
        self._failure = ""

    def metadata(self) -> Mapping[str, Any]:
        """Return the metadata. Raises ProviderAway, also if the issuer answered earlier and no longer does."""
        with self._lock:
            known = self._refreshed()
            if known is None or self._failure:
                raise ProviderAway(self._failure)
            return known.metadata

    def endpoint(self, name: str) -> str:
        """Return the address that the metadata give this name. Raises ProviderAway."""
        return _endpoint(self.metadata(), name, issuer=self.name)

    def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key with this id. Raises UnknownKey if the issuer has none, ProviderAway if it cannot be asked."""
        with self._lock:
            known = self._refreshed(key_id)
            if known is None or self._clock() - known.at >= LONGEST_S:
                raise ProviderAway(f"the keys of {self.name} are not known: {self._failure}")
            if key_id not in known.keys:
                # With keys that may be older than the token's, the token may be right.
                if self._failure:
                    raise ProviderAway(f"the present keys of {self.name} are not known: {self._failure}")
                raise UnknownKey
            return known.keys[key_id]

    def _refreshed(self, key_id: str | None = None) -> _Known | None:
        """Return what is known, after a fetch if it is old, lacks the key, or was not to be had the last time."""
        known, now = self._known, self._clock()
        is_fresh = known is not None and not self._failure and now - known.at < FRESH_S
        has_key = known is not None and (key_id is None or key_id in known.keys)
        if not (is_fresh and has_key) and now - self._tried_at >= PAUSE_S:
            try:
                self._known, self._failure = self._read(now), ""
            except ProviderAway as error:
                self._failure = str(error)
            self._tried_at = self._clock()
        return self._known

    def _read(self, now: float) -> _Known:
        metadata = self._fetch(self.name.rstrip("/") + METADATA)
        if metadata.get("issuer") != self.name:
            raise ProviderAway("its metadata name another issuer")
        listed = self._fetch(_endpoint(metadata, KEYS, issuer=self.name)).get("keys")
        if not isinstance(listed, list):
            raise ProviderAway("its keys are no list")
        found = (_key(each) for each in listed[:MOST_KEYS])
        return _Known(metadata=metadata, keys={str(key.key_id): key for key in found if key is not None}, at=now)


def _endpoint(metadata: Mapping[str, Any], name: str, *, issuer: str) -> str:
    url = metadata.get(name)
    # No secret or code leaves in the clear, and no issuer makes the webserver ask itself or the network for something.
    if not isinstance(url, str) or not may_name(issuer, url):
        raise ProviderAway(f"its metadata have no usable {name}")
    return url


def _key(described: Any) -> jwt.PyJWK | None:
    """Return a public key for signatures; None for another kind of key, a weak one, or one that cannot be read."""
    if not isinstance(described, dict) or described.get("kty") not in KINDS or described.get("use", "sig") != "sig":
        return None
    if not isinstance(described.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(described)
        is_strong = described["kty"] != "RSA" or key.key.key_size >= LEAST_RSA_BITS
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, NotImplementedError):  # the last: of "none"
        return None
    return key if is_strong else None
