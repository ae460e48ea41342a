"""Verifies tokens of an issuer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from oidc.issuer import Issuer, UnknownKey

# Never what the token says. Signatures of the issuer's own key only: with HS256 its public key would be a password.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
NEEDED = ("exp", "iat", "iss", "aud", "sub")
LEEWAY_S = 60

WORDS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidIssuedAtError: "it is not valid yet",
    jwt.InvalidAudienceError: "it was made for another audience",
    jwt.InvalidIssuerError: "another issuer made it",
    jwt.MissingRequiredClaimError: "it lacks one of the claims " + ", ".join(NEEDED),
    jwt.InvalidAlgorithmError: "it is signed with an algorithm that is not allowed",
    jwt.InvalidSignatureError: "its signature is not of the issuer's key",
}


class NotValid(Exception):
    """The token proves nothing. The message says why, and holds nothing of the token."""


def verify(token: str, *, issuer: Issuer, audiences: Sequence[str]) -> dict[str, Any]:
    """Return the claims of the issuer's token for one of the audiences. Raises NotValid and ProviderAway."""
    header = unverified(token)[0]
    if header.get("alg") not in ALGORITHMS:  # before a key is looked for
        raise NotValid(WORDS[jwt.InvalidAlgorithmError])
    key_id = header.get("kid")
    if not isinstance(key_id, str) or "crit" in header:
        raise NotValid("its header names no key, or needs what is not known here")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            issuer.key(key_id),
            algorithms=list(ALGORITHMS),
            audience=list(audiences),
            issuer=issuer.name,
            leeway=LEEWAY_S,
            options={"require": list(NEEDED)},
        )
    except UnknownKey:
        raise NotValid("it is signed with none of the issuer's keys") from None
    except (jwt.PyJWTError, ValueError) as error:
        raise NotValid(WORDS.get(type(error), "it is not a valid JSON Web Token")) from None
    return claims


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims, which only say with which keys to verify the token. Raises NotValid."""
    try:
        return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise NotValid("it is not a JSON Web Token") from None
