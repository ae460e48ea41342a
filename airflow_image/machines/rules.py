"""Reads which machine gets which role: the lines of the parameter MachineRoles, see docs/machines.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oidc.addresses import is_address

ISSUER, AUDIENCE, AWS = "issuer", "audience", "aws"
# One of them says whose token it is. An issuer may serve all the world: a branch alone would let any repository in.
IDENTIFYING = frozenset(
    (
        *("sub", "azp", "client_id", "appid"),
        *("repository", "repository_id", "repository_owner", "repository_owner_id"),
        *("project_path", "project_id", "namespace_path", "namespace_id"),
    )
)
# What the check decides itself.
RESERVED = frozenset(("iss", "aud", "exp", "iat", "nbf"))
ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/(?:[\w+=,.@/-]+/)?([\w+=,.@-]{1,64})", re.ASCII)
LONGEST_ISSUER = 200


@dataclass(frozen=True, kw_only=True)
class TokenRule:
    """The role of a token of `issuer` that was made for `audience` and has all these claims."""

    role: str
    issuer: str
    audience: str
    claims: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AwsRule:
    """The role of all who have the credentials of an IAM role, whose name is unique in its account."""

    role: str
    partition: str
    account: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules in their order: the first that fits decides."""

    tokens: tuple[TokenRule, ...] = ()
    aws: tuple[AwsRule, ...] = ()


def parse_rules(text: str, *, audience: str) -> Rules:
    """Return the rules in `text`; `audience` is that of tokens whose line names none. Raises ValueError."""
    tokens: list[TokenRule] = []
    aws: list[AwsRule] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rule = _rule(line, audience=audience)
        except ValueError as error:
            raise ValueError(f"line {number} {error}") from None
        if isinstance(rule, TokenRule):
            tokens.append(rule)
        else:
            aws.append(rule)
    return Rules(tokens=tuple(tokens), aws=tuple(aws))


def _rule(line: str, *, audience: str) -> TokenRule | AwsRule:
    role, colon, rest = line.partition(":")
    role = role.strip()
    if not colon or not role or "=" in role:
        raise ValueError("does not begin with a role of Airflow and a colon")
    fields = _fields(rest.split())
    if AWS in fields:
        if len(fields) > 1:
            raise ValueError(f"has more than {AWS}=")
        return _aws_rule(role, fields[AWS])
    if ISSUER not in fields:
        raise ValueError(f"has neither {ISSUER}= nor {AWS}=")
    issuer = fields.pop(ISSUER)
    if not is_address(issuer) or len(issuer) > LONGEST_ISSUER:
        raise ValueError(f"has {ISSUER}={issuer}, which is no https address")
    audience = fields.pop(AUDIENCE, audience)
    if reserved := sorted(RESERVED & fields.keys()):
        raise ValueError(f"has the claim {reserved[0]}, which is checked for every token")
    if not IDENTIFYING & fields.keys():
        raise ValueError(f"has no claim that says whose token it is: one of {', '.join(sorted(IDENTIFYING))}")
    return TokenRule(role=role, issuer=issuer, audience=audience, claims=fields)


def _fields(words: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"has {word!r}, which is not NAME=VALUE")
        if name in fields:
            raise ValueError(f"has {name}= twice")
        fields[name] = value
    return fields


def _aws_rule(role: str, arn: str) -> AwsRule:
    match = ROLE_ARN.fullmatch(arn)
    if match is None:
        raise ValueError(f"has {AWS}={arn}, which is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME")
    partition, account, name = match.groups()
    return AwsRule(role=role, partition=partition, account=account, name=name)
