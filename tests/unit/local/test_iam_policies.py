"""How the local IAM reads policies: each rule of AWS's documents that a policy of this project relies on.

tests/integration/local/test_iam_peer.py holds the whole against another implementation.
"""

import json
from typing import Any

import pytest

from local.aws.iam.conditions import UnsupportedPolicy, are_met
from local.aws.iam.patterns import Context, matches, matches_arn
from local.aws.iam.policies import Decision, Principal, Request, Rules, decide

ROLE, SESSION = "arn:aws:iam::1:role/worker", "arn:aws:sts::1:assumed-role/worker/task"
CALLER = Principal(account="1", arn=ROLE, session=SESSION)
OBJECT, KEY = "arn:aws:s3:::bucket/logs/a", "arn:aws:kms:eu-west-1:1:key/2"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def decided(
    *identity: str, action: str = "s3:GetObject", on: str = OBJECT, context: Any = None, **rules: Any
) -> Decision:
    request = Request(principal=CALLER, action=action, resource=on, context=context or {})
    return decide(request, Rules(identity=identity, **rules))


@pytest.mark.parametrize(
    ("pattern", "arn", "is_match"),
    [
        ("arn:aws:s3:::bucket/logs/*", OBJECT, True),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a:b/c", True),
        ("arn:aws:s3:::bucket", OBJECT, False),
        ("arn:aws:s3:*", OBJECT, False),  # a wildcard does not reach into the next part
        ("arn:aws:logs:*:1:log-group:a:*", "arn:aws:logs:eu-west-1:1:log-group:a:log-stream:b", True),
        ("arn:aws:ecs:eu-west-1:1:service/c/?", "arn:aws:ecs:eu-west-1:1:service/c/ab", False),
        ("arn:aws:s3:::bucket/${aws:userid}/*", "arn:aws:s3:::bucket/me/x", True),
        ("arn:aws:s3:::bucket/${aws:userid}/*", "arn:aws:s3:::bucket/you/x", False),
        ("arn:aws:s3:::bucket/${aws:unknown}/*", "arn:aws:s3:::bucket/x/x", False),
        ("arn:aws:s3:::bucket/${aws:unknown, 'x'}/*", "arn:aws:s3:::bucket/x/x", True),
        ("*", OBJECT, False),  # a statement's resource `*` is no pattern of ARNs
    ],
)
def test_arns_match_part_by_part(pattern: str, arn: str, is_match: bool) -> None:
    assert matches_arn(pattern, arn, {"aws:userid": "me"}) is is_match


def test_a_value_with_a_wildcard_matches_itself_only() -> None:
    assert matches("a/${aws:userid}", "a/*", {"aws:userid": "*"})
    assert not matches("a/${aws:userid}", "a/b", {"aws:userid": "*"})
    assert matches("a${*}", "a*", {})
    assert not matches("a${*}", "ab", {})


CONTEXT: Context = {
    "s3:prefix": "logs/a",
    "aws:securetransport": "true",
    "aws:tagkeys": ("a", "b"),
    "aws:sourceip": "10.0.0.7",
}


@pytest.mark.parametrize(
    ("name", "key", "values", "is_met"),
    [
        ("StringEquals", "s3:prefix", "logs/a", True),
        ("StringEquals", "S3:Prefix", "logs/*", False),
        ("StringLike", "s3:prefix", ["x", "logs/*"], True),
        ("StringNotLike", "s3:prefix", ["x", "logs/*"], False),
        ("StringEquals", "aws:missing", "a", False),
        ("StringNotEquals", "aws:missing", "a", True),
        ("StringEqualsIfExists", "aws:missing", "a", True),
        ("StringEqualsIfExists", "s3:prefix", "a", False),
        ("Null", "aws:missing", "true", True),
        ("Null", "s3:prefix", True, False),
        ("Bool", "aws:SecureTransport", False, False),
        ("Bool", "aws:SecureTransport", "true", True),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a"], False),
        ("ForAllValues:StringEquals", "aws:missing", ["a"], True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", ["a"], True),
        ("ForAnyValue:StringEquals", "aws:missing", ["a"], False),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", False),
        ("NumericLessThan", "s3:prefix", "7", False),
    ],
)
def test_conditions(name: str, key: str, values: Any, is_met: bool) -> None:
    assert are_met({name: {key: values}}, CONTEXT) is is_met


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("StringsEqual", "s3:prefix", "a"),
        ("StringEquals", "aws:TagKeys", "a"),
        ("StringNotEquals", "s3:prefix", "${aws:unknown}"),
        ("ArnNotLike", "s3:prefix", "*"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_an_error(name: str, key: str, value: str) -> None:
    with pytest.raises(UnsupportedPolicy):
        are_met({name: {key: value}}, CONTEXT)


def test_nothing_is_allowed_that_no_policy_allows() -> None:
    assert decided(policy(statement(action="s3:PutObject"))) == Decision(
        is_allowed=False, why="because no identity-based policy allows the s3:GetObject action"
    )


def test_a_deny_outweighs_every_permission() -> None:
    assert decided(policy(statement()), policy(statement("Deny", "S3:Get*"))) == Decision(
        is_allowed=False, why="with an explicit deny in an identity-based policy"
    )


def test_a_boundary_limits_and_permits_nothing() -> None:
    limits = policy(statement(action="s3:*"))
    assert decided(policy(statement()), boundary=limits).is_allowed
    assert not decided(boundary=limits).is_allowed
    assert not decided(policy(statement()), boundary=policy(statement(action="kms:*"))).is_allowed


def test_a_resources_policy_permits_its_principals_and_refuses_whom_it_denies() -> None:
    own = policy(statement(Principal={"AWS": ROLE}))
    assert decided(resource=own).is_allowed
    of_others = policy(statement(Principal={"AWS": "arn:aws:iam::1:role/other"}))
    assert not decided(resource=of_others).is_allowed
    plain = policy(statement("Deny", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}}))
    assert decided(policy(statement()), resource=plain, context={"aws:securetransport": "true"}).is_allowed
    assert not decided(policy(statement()), resource=plain, context={"aws:securetransport": "false"}).is_allowed


def test_a_key_is_used_only_as_its_own_policy_says() -> None:
    mine = policy(statement(action="kms:Decrypt", resource=KEY))
    of_account = policy(statement(action="kms:*", Principal={"AWS": "arn:aws:iam::1:root"}))
    use: dict[str, Any] = {"action": "kms:Decrypt", "on": KEY, "needs_resource": True}
    assert decided(mine, resource=of_account, **use).is_allowed
    assert not decided(resource=of_account, **use).is_allowed
    assert not decided(mine, resource=policy(statement(action="kms:*", Principal={"AWS": "2"})), **use).is_allowed


def test_only_the_service_that_a_role_trusts_may_take_it() -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    rules = Rules(resource=policy(trust), needs_resource=True)
    for service, may in (("lambda.amazonaws.com", True), ("ecs-tasks.amazonaws.com", False)):
        request = Request(principal=Principal(service=service), action="sts:AssumeRole", resource=ROLE)
        assert decide(request, rules).is_allowed is may


@pytest.mark.parametrize(
    "broken",
    [
        {"Effect": "Allow", "Action": "s3:GetObject"},
        {"Effect": "Permit", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::bucket/${aws:PrincipalTag/missing}/*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Principle": "*"},
    ],
)
def test_a_statement_that_iam_would_refuse_is_an_error(broken: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedPolicy):
        decided(policy(broken))


def test_a_policy_of_the_older_version_is_read_unless_it_has_variables() -> None:
    def older(resource: str) -> str:
        return json.dumps({"Version": "2008-10-17", "Statement": [statement(resource=resource)]})

    assert decided(older(OBJECT)).is_allowed
    with pytest.raises(UnsupportedPolicy, match="2008-10-17"):
        decided(older("arn:aws:s3:::bucket/${aws:userid}/*"))
