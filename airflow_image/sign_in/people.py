"""Who a provider's claims say that a person is, and which roles the person's groups give."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sign_in.names import SEPARATOR

PREFIX = "oidc"
PROVIDER_DOMAIN = "oidc.invalid"
LONGEST_NAME = 64
Roles = Mapping[str, tuple[str, ...]]


class MappingError(Exception):
    """The role mapping is not one; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """`key` stands for the issuer and the subject, which never change hands. `name` is what logs show."""

    key: str
    name: str
    first_name: str
    last_name: str
    roles: tuple[str, ...]


def parse_mapping(text: str) -> Roles:
    """Return the roles of each group: JSON like {"team": "Op", "leads": ["Op", "Analyst"]}. Raises MappingError."""
    try:
        content = json.loads(text or "{}", object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise MappingError("it is not JSON") from None
    if not isinstance(content, dict):
        raise MappingError("it is not a JSON object")
    mapping = {}
    for group, value in content.items():
        roles = [value] if isinstance(value, str) else value
        if not isinstance(roles, list) or not roles or not all(isinstance(role, str) and role for role in roles):
            raise MappingError(f"group {group} has neither a role nor a list of roles")
        mapping[group] = tuple(roles)
    return mapping


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raises MappingError for a name that it has twice: only the last would count."""
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise MappingError(f"group {twice} is in it twice")
    return dict(pairs)


def person_of(claims: Mapping[str, Any], *, mapping: Roles, groups_claim: str) -> Person:
    """Return who the claims of a verified ID token name.

    The provider's own names are shown, and only shown: people may change them, and one may be `admin`.
    """
    key = hashlib.sha256(f"{claims['iss']}\n{claims['sub']}".encode()).hexdigest()[:32]
    shown = next((str(claims[name]) for name in ("preferred_username", "email", "sub") if claims.get(name)), "")
    readable = re.sub(r"[^\w.@+-]", "_", shown)[:LONGEST_NAME]
    first_name, last_name = str(claims.get("given_name") or ""), str(claims.get("family_name") or "")
    if not first_name and not last_name:
        first_name, _, last_name = str(claims.get("name") or readable).partition(" ")
    groups = claims.get(groups_claim)
    groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    roles = {role for group in groups if isinstance(group, str) for role in mapping.get(group, ())}
    return Person(
        key=f"{key}@{PROVIDER_DOMAIN}",
        name=f"{PREFIX}{SEPARATOR}{readable}{SEPARATOR}{key[:8]}",
        first_name=_printable(first_name),
        last_name=_printable(last_name),
        roles=tuple(sorted(roles)),
    )


def _printable(name: str) -> str:
    """Return a name without what a database refuses, NUL, or a log shows as another line."""
    return "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME]
