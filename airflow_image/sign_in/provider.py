"""The OpenID Connect provider that people sign in with: what is asked of it, and how its answers are verified."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from oidc.fetch import ProviderAway, ask
from oidc.issuer import Issuer
from oidc.tokens import NotValid, verify


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
    """The provider; what it publishes is read when it is needed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._issuer = Issuer(client.issuer)

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
        return _with_query(self._issuer.endpoint("authorization_endpoint"), query)

    def exchange(self, code: str, *, verifier: str) -> str:
        """Return the ID token for a code. Raises ProviderAway and Refused."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": verifier,
        }
        secret = (self.client.client_id, self.client.client_secret)
        methods = self._issuer.metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        how: dict[str, Any] = {"auth": httpx.BasicAuth(*secret)}
        if "client_secret_basic" not in methods:
            how, form = {}, {**form, "client_id": secret[0], "client_secret": secret[1]}
        answer = ask("POST", self._issuer.endpoint("token_endpoint"), data=form, **how)
        if answer.status != httpx.codes.OK:
            raise Refused(f"the provider refused the code: HTTP {answer.status}")
        token = answer.document().get("id_token")
        if not isinstance(token, str):
            raise Refused("the provider gave no ID token")
        return token

    def verify(self, token: str, *, nonce: str) -> Mapping[str, Any]:
        """Return the claims of an ID token. Raises ProviderAway and Refused."""
        try:
            claims = verify(token, issuer=self._issuer, audiences=[self.client.client_id])
        except NotValid as error:
            raise Refused(f"the ID token is not valid: {error}") from None
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise Refused("the ID token is of another sign-in")
        if claims.get("azp", self.client.client_id) != self.client.client_id:
            raise Refused("the ID token was made for another client")
        return claims

    def sign_out_url(self, token: str) -> str | None:
        """Return where the browser ends the provider's session; None if the provider has no such address or is away."""
        try:
            endpoint = self._issuer.endpoint("end_session_endpoint")
        except ProviderAway:
            return None
        query = {
            "id_token_hint": token,
            "client_id": self.client.client_id,
            "post_logout_redirect_uri": self.client.signed_out_uri,
        }
        return _with_query(endpoint, query)


def challenge(verifier: str) -> str:
    """Return PKCE's challenge (S256) for a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
