"""The OpenID Connect provider that people sign in with: what is asked of it, and how its answers are verified."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

# Never what the token says. Signatures of the provider's own key only: with HS256 its public key would be a password.
ALGORITHMS = (*("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),)
REQUIRED = ("exp", "iat", "iss", "aud", "sub", "nonce")
LEEWAY_S = 60
TIMEOUT_S = 5.0
FRESH_S = 300.0  # of metadata and keys
# A token may be signed by a key that the provider has only just published; unknown keys must not make us ask each time.
# Nor may a provider that is away keep one thread of the webserver after the other waiting.
ASK_AGAIN_S = 10.0
LONGEST_ANSWER = 1_000_000  # bytes


class ProviderAway(Exception):
    """The provider does not answer, or answers what is no answer; the message says what."""


class Refused(Exception):
    """What the provider or a browser brought does not prove who signs in; the message says why, without a token."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """This environment as a client of the provider."""

    issuer: str
    client_id: str
    client_secret: str
    scope: str
    redirect_uri: str
    signed_out_uri: str


class Provider:
    """The provider with its metadata and keys, which are read when they are needed."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._away: dict[str, tuple[float, str]] = {}

    def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return where the browser asks for a code. Raises ProviderAway."""
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": self.client.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        return _with_query(self._endpoint("authorization_endpoint"), query)

    def exchange(self, code: str, *, verifier: str) -> str:
        """Return the ID token for a code. Raises ProviderAway and Refused."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": verifier,
        }
        secret = (self.client.client_id, self.client.client_secret)
        methods = self._metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        how: dict[str, Any] = {"auth": httpx.BasicAuth(*secret)}
        if "client_secret_basic" not in methods:
            how, form = {}, {**form, "client_id": secret[0], "client_secret": secret[1]}
        answer = _ask("POST", self._endpoint("token_endpoint"), data=form, **how)
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"the provider refused the code: HTTP {answer.status_code}")
        token = _json(answer).get("id_token")
        if not isinstance(token, str):
            raise Refused("the provider gave no ID token")
        return token

    def verify(self, token: str, *, nonce: str) -> Mapping[str, Any]:
        """Return the claims of an ID token. Raises ProviderAway and Refused."""
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self.client.issuer,
                audience=self.client.client_id,
                leeway=LEEWAY_S,
                options={"require": list(REQUIRED)},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise Refused(f"the ID token is not valid: {type(error).__name__}") from None
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise Refused("the ID token is of another sign-in")
        if claims.get("azp", self.client.client_id) != self.client.client_id:
            raise Refused("the ID token was made for another client")
        return claims

    def sign_out_url(self, token: str) -> str | None:
        """Return where the browser ends the provider's session; None if the provider has no such address or is away."""
        try:
            endpoint = self._endpoint("end_session_endpoint")
        except ProviderAway:
            return None
        query = {
            "id_token_hint": token,
            "client_id": self.client.client_id,
            "post_logout_redirect_uri": self.client.signed_out_uri,
        }
        return _with_query(endpoint, query)

    def _endpoint(self, name: str) -> str:
        url = self._metadata().get(name)
        # No secret or code leaves in the clear, unless the provider's own address says so (on one machine).
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self.client.issuer).scheme}:
            raise ProviderAway(f"its metadata have no usable {name}")
        return url

    def _metadata(self) -> dict[str, Any]:
        found = self._read(self.client.issuer.rstrip("/") + "/.well-known/openid-configuration", fresh_s=FRESH_S)
        if found.get("issuer") != self.client.issuer:
            raise ProviderAway("its metadata are of another issuer")
        return found

    def _key(self, key_id: str) -> Any:
        url = self._endpoint("jwks_uri")
        for fresh_s in (FRESH_S, ASK_AGAIN_S):
            try:
                return jwt.PyJWKSet.from_dict(self._read(url, fresh_s=fresh_s))[key_id]
            except KeyError:
                continue
            except jwt.PyJWTError as error:
                raise ProviderAway(f"its keys cannot be read ({type(error).__name__})") from None
        raise Refused("the ID token is signed with a key that the provider does not have")

    def _read(self, url: str, *, fresh_s: float) -> dict[str, Any]:
        with self._lock:
            if (kept := self._kept.get(url)) and self._clock() - kept[0] < fresh_s:
                return kept[1]
            if (away := self._away.get(url)) and self._clock() - away[0] < ASK_AGAIN_S:
                raise ProviderAway(away[1])
            try:
                answer = _ask("GET", url)
                if answer.status_code != httpx.codes.OK:
                    raise ProviderAway(f"{urlsplit(url).path} answers HTTP {answer.status_code}")
                self._kept[url] = (self._clock(), _json(answer))
            except ProviderAway as error:
                self._away[url] = (self._clock(), str(error))
                raise
            return self._kept[url][1]


def challenge(verifier: str) -> str:
    """Return PKCE's challenge (S256) for a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _ask(method: str, url: str, **how: Any) -> httpx.Response:
    try:
        return httpx.request(method, url, timeout=TIMEOUT_S, follow_redirects=False, **how)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderAway(f"{urlsplit(url).path} does not answer ({type(error).__name__})") from None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json() if len(answer.content) <= LONGEST_ANSWER else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ProviderAway(f"{answer.url.path} answers no JSON object")
    return content


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
