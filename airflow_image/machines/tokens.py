"""Checks a token of an OpenID Connect provider, such as one that GitHub or GitLab gives to a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt

from machines.keys import Keys
from machines.machine import Machine
from machines.refusals import BadProof, NotMapped
from machines.rules import TokenRule

# Never what the token says. No algorithm whose key is a secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
NEEDED = ("exp", "iat", "iss", "aud", "sub")
LEEWAY_S = 30
LONGEST_LIFE_S = 86_400
LONGEST_SUBJECT = 255  # by OpenID Connect
LONGEST = 16_384  # characters of a token

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


class Tokens:
    """Tells machines by their tokens."""

    def __init__(self, rules: Sequence[TokenRule], *, make_keys: Callable[[str], Keys] = Keys) -> None:
        self._rules = tuple(rules)
        self._keys = {issuer: make_keys(issuer) for issuer in sorted({rule.issuer for rule in rules})}

    def identify(self, token: str) -> Machine:
        """Return the machine whose token this is. Raises BadProof, NotMapped or Unavailable."""
        if len(token) > LONGEST:
            raise BadProof("it is too long")
        header, issuer = _read_unverified(token)
        keys = self._keys.get(issuer)
        if keys is None:
            raise BadProof("its issuer is not one that a line of MachineRoles names")
        claims = self._verify(token, header, issuer=issuer, keys=keys)
        subject = claims["sub"]
        if not subject.isprintable() or len(subject) > LONGEST_SUBJECT:
            raise BadProof("its subject is not a name")
        identity = f"{issuer}#{subject}"
        for rule in self._rules:
            if rule.issuer == issuer and _fits(rule, claims):
                return Machine(identity=identity, role=rule.role, detail=_detail(claims))
        raise NotMapped(f"no role is mapped to {identity}")

    def _verify(self, token: str, header: Mapping[str, Any], *, issuer: str, keys: Keys) -> dict[str, Any]:
        if header.get("alg") not in ALGORITHMS:  # before a key is looked for
            raise BadProof(WORDS[jwt.InvalidAlgorithmError])
        key_id = header.get("kid")
        if not isinstance(key_id, str) or "crit" in header:
            raise BadProof("its header names no key, or needs what is not known here")
        audiences = sorted({rule.audience for rule in self._rules if rule.issuer == issuer})
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                keys.find(key_id),
                algorithms=list(ALGORITHMS),
                audience=audiences,
                issuer=issuer,
                leeway=LEEWAY_S,
                options={"require": list(NEEDED)},
            )
        except jwt.PyJWTError as error:
            raise BadProof(WORDS.get(type(error), "it is not a valid JSON Web Token")) from None
        if float(claims["exp"]) - float(claims["iat"]) > LONGEST_LIFE_S:
            raise BadProof("it is valid for more than a day")
        return claims


def _read_unverified(token: str) -> tuple[dict[str, Any], str]:
    """Return the header and the issuer, which only say with which keys to verify the token."""
    try:
        header = jwt.get_unverified_header(token)
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadProof("it is not a JSON Web Token") from None
    return header, issuer if isinstance(issuer, str) else ""


def _fits(rule: TokenRule, claims: Mapping[str, Any]) -> bool:
    audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    return rule.audience in audiences and all(_text(claims.get(name)) == value for name, value in rule.claims.items())


def _text(value: Any) -> str | None:
    """Return a claim as a line of MachineRoles has it; None for a list, an object, or no claim."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else None


def _detail(claims: Mapping[str, Any]) -> str:
    """Return what tells this token from others of the machine: its id, and the job that asked for it."""
    shown = ((name, claims.get(name)) for name in ("jti", "run_id", "pipeline_id", "job_id"))
    return ", ".join(f"{name} {value}" for name, value in shown if isinstance(value, str) and value.isprintable())
