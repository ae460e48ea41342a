"""Decides a request by the policies that apply to it, as IAM does within one account."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from local.aws.iam.conditions import UnsupportedPolicy, are_met, listed
from local.aws.iam.patterns import Context, UnresolvedVariable, matches, matches_arn, resolved

VERSION, OLD_VERSION = "2012-10-17", "2008-10-17"
ELEMENTS = {
    *("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"),
}


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who calls: a service of AWS (`service`), or a role's session with its `account`, role's `arn` and `session`."""

    account: str = ""
    arn: str = ""
    session: str = ""
    service: str = ""

    @property
    def name(self) -> str:
        """How a refusal names it."""
        return self.session or self.service


@dataclass(frozen=True, kw_only=True)
class Request:
    """One action on one resource. The context's keys are in lower case."""

    principal: Principal
    action: str
    resource: str
    context: Context = field(default_factory=dict)


class Match(IntEnum):
    """How a resource's policy names a principal: not, by its account (whose own policies decide), by role, itself."""

    NONE = 0
    ACCOUNT = 1
    ROLE = 2
    ITSELF = 3


class Verdict(IntEnum):
    """What one policy says; the greater one wins.

    The permissions boundary limits what is allowed to the role, not what a resource's policy allows to its session.
    """

    NOTHING = 0
    ALLOWED_ACCOUNT = 1
    ALLOWED = 2
    ALLOWED_ITSELF = 3
    DENIED = 4


VERDICTS = {
    Match.ACCOUNT: Verdict.ALLOWED_ACCOUNT,
    Match.ROLE: Verdict.ALLOWED,
    Match.ITSELF: Verdict.ALLOWED_ITSELF,
}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`why`: of a refusal, in AWS's words."""

    is_allowed: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The policies that apply to a request. `identity`: of the role. `resource`: of the resource.

    `needs_resource`: without its policy's permission nothing is allowed (a key's policy, a role's trust policy).
    """

    identity: Sequence[str] = ()
    boundary: str | None = None
    resource: str | None = None
    needs_resource: bool = False


def decide(request: Request, rules: Rules) -> Decision:
    """Return whether the request is allowed. Raises UnsupportedPolicy for what cannot be evaluated."""
    identity = [evaluate(policy, request) for policy in rules.identity]
    resource = Verdict.NOTHING if rules.resource is None else evaluate(rules.resource, request, of_resource=True)
    boundary = Verdict.ALLOWED if rules.boundary is None else evaluate(rules.boundary, request)
    for verdicts, kind in (
        (identity, "an identity-based policy"),
        ([resource], "a resource-based policy"),
        ([boundary], "a permissions boundary"),
    ):
        if Verdict.DENIED in verdicts:
            return Decision(is_allowed=False, why=f"with an explicit deny in {kind}")
    if resource is Verdict.ALLOWED_ITSELF:
        return Decision(is_allowed=True)
    if rules.needs_resource and resource is Verdict.NOTHING:
        return _refused("resource-based policy", request)
    if Verdict.ALLOWED not in identity and resource is not Verdict.ALLOWED:
        return _refused("identity-based policy", request)
    if boundary is Verdict.NOTHING:
        return _refused("permissions boundary", request)
    return Decision(is_allowed=True)


def evaluate(document: str, request: Request, *, of_resource: bool = False) -> Verdict:
    """Return what one policy says of the request; one `of_resource` names principals. Raises UnsupportedPolicy."""
    verdict = Verdict.NOTHING
    for statement in _statements(document):
        named = _named(statement, request.principal) if of_resource else Match.ROLE
        if named is Match.NONE or not _applies(statement, request, of_resource=of_resource):
            continue
        verdict = max(verdict, Verdict.DENIED if statement["Effect"] == "Deny" else VERDICTS[named])
    return verdict


def actions_of(document: str) -> Iterable[str]:
    """Yield the actions that a policy allows, as it writes them."""
    for statement in _statements(document):
        if statement["Effect"] == "Allow":
            yield from listed(statement.get("Action", ()))


def _refused(kind: str, request: Request) -> Decision:
    return Decision(is_allowed=False, why=f"because no {kind} allows the {request.action} action")


@functools.lru_cache(maxsize=512)
def _statements(document: str) -> tuple[Mapping[str, Any], ...]:
    policy = json.loads(document)
    # Policies that services make themselves, as of topics, have the older version. It knows no variables.
    if policy.get("Version") != VERSION and (policy.get("Version") != OLD_VERSION or "${" in document):
        raise UnsupportedPolicy(f"a policy has the version {policy.get('Version')!r}, not {VERSION}")
    statements = tuple(listed(policy["Statement"]))
    for statement in statements:
        if unknown := set(statement) - ELEMENTS:
            raise UnsupportedPolicy(f"a statement has the unknown element {sorted(unknown)[0]}")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise UnsupportedPolicy(f"a statement has the effect {statement.get('Effect')!r}")
        if ("Action" in statement) == ("NotAction" in statement):
            raise UnsupportedPolicy("a statement has both or neither of Action and NotAction")
    return statements


def _applies(statement: Mapping[str, Any], request: Request, *, of_resource: bool) -> bool:
    context = request.context
    actions = listed(statement["Action" if "Action" in statement else "NotAction"])
    is_named = any(matches(each, request.action, ignore_case=True) for each in actions)
    if is_named is not ("Action" in statement):
        return False
    if "Resource" in statement:
        if not any(_is_resource(each, request.resource, context) for each in listed(statement["Resource"])):
            return False
    elif "NotResource" in statement:
        if any(_is_resource(each, request.resource, context) for each in _excepted(statement, context)):
            return False
    elif not of_resource:  # a trust policy is of its role
        raise UnsupportedPolicy("a statement of an identity-based policy names no resource")
    return are_met(statement.get("Condition", {}), context)


def _excepted(statement: Mapping[str, Any], context: Context) -> list[str]:
    """Return the resources of NotResource. With a variable that has no value it would mean everything or nothing."""
    patterns = listed(statement["NotResource"])
    try:
        for pattern in patterns:
            resolved(pattern, context)
    except UnresolvedVariable as error:
        raise UnsupportedPolicy(f"the variable {error} of a NotResource has no value") from error
    return patterns


def _is_resource(pattern: str, resource: str, context: Context) -> bool:
    """Return whether a request for `resource` is meant; that is `*` for an action that knows no resources."""
    return pattern == "*" or (resource != "*" and matches_arn(pattern, resource, context))


def _named(statement: Mapping[str, Any], principal: Principal) -> Match:
    if "NotPrincipal" in statement or "Principal" not in statement:
        raise UnsupportedPolicy("a statement of a resource's policy names no principal, or only who is not meant")
    named = statement["Principal"]
    if named == "*":
        return Match.ITSELF
    return max(_matched(kind, value, principal) for kind, values in named.items() for value in listed(values))


def _matched(kind: str, value: str, principal: Principal) -> Match:
    if kind == "Service":
        return Match.ITSELF if principal.service and value == principal.service else Match.NONE
    if kind != "AWS" or principal.service:
        return Match.NONE
    if value in ("*", principal.session):
        return Match.ITSELF
    if value == principal.arn:
        return Match.ROLE
    is_account = value == principal.account or value.endswith(f":iam::{principal.account}:root")
    return Match.ACCOUNT if is_account else Match.NONE
