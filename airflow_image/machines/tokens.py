"""Checks a token of an OpenID Connect provider, such as one that GitHub or GitLab gives to a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from machines.machine import Machine
from machines.refusals import BadProof, NotMapped, Unavailable
from machines.rules import TokenRule
from oidc.fetch import ProviderAway
from oidc.issuer import Issuer
from oidc.tokens import NotValid, unverified, verify

LONGEST_LIFE_S = 86_400
LONGEST_SUBJECT = 255  # by OpenID Connect
LONGEST = 16_384  # characters of a token


class Tokens:
    """Tells machines by their tokens."""

    def __init__(self, rules: Sequence[TokenRule], *, make_issuer: Callable[[str], Issuer] = Issuer) -> None:
        self._rules = tuple(rules)
        self._issuers = {name: make_issuer(name) for name in sorted({rule.issuer for rule in rules})}

    def identify(self, token: str) -> Machine:
        """Return the machine whose token this is. Raises BadProof, NotMapped or Unavailable."""
        try:
            issuer, claims = self._verify(token)
        except NotValid as error:
            raise BadProof(str(error)) from None
        except ProviderAway as error:
            raise Unavailable(str(error)) from None
        subject = claims["sub"]
        if not subject.isprintable() or len(subject) > LONGEST_SUBJECT:
            raise BadProof("its subject is not a name")
        identity = f"{issuer}#{subject}"
        for rule in self._rules:
            if rule.issuer == issuer and _fits(rule, claims):
                return Machine(identity=identity, role=rule.role, detail=_detail(claims))
        raise NotMapped(f"no role is mapped to {identity}")

    def _verify(self, token: str) -> tuple[str, dict[str, Any]]:
        """Return the issuer's name and the claims. Raises NotValid and ProviderAway."""
        if len(token) > LONGEST:
            raise NotValid("it is too long")
        name = unverified(token)[1].get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise NotValid("its issuer is not one that a line of MachineRoles names")
        audiences = sorted({rule.audience for rule in self._rules if rule.issuer == issuer.name})
        claims = verify(token, issuer=issuer, audiences=audiences)
        if float(claims["exp"]) - float(claims["iat"]) > LONGEST_LIFE_S:
            raise NotValid("it is valid for more than a day")
        return issuer.name, claims


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
