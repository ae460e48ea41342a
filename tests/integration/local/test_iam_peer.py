"""The local IAM decides as another implementation does: @cloud-copilot/iam-simulate.

It is AGPL, so it runs as a program of its own, and only here. npm fetches what its lock names.
"""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam.policies import Principal, Request, Rules, decide
from project import paths

SOURCE = Path(__file__).parents[2] / "support" / "iam_peer"
PEER = paths.STATE / "iam-peer"
LOCK = "package-lock.json"
FETCH_TIMEOUT_S, DECIDE_TIMEOUT_S = 300, 300
CASES, SEED = 3000, 17
pytestmark = pytest.mark.slow

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE, SESSION = f"arn:aws:iam::{ACCOUNT}:role/worker", f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/task"
OTHER = f"arn:aws:iam::{ACCOUNT}:role/other"


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


SERVICES = ("service/c/worker", "service/c/other", "service/d/worker")
RESOURCES = {
    "ecs:UpdateService": [arn("ecs", name) for name in SERVICES],
    "ecs:TagResource": [arn("ecs", name) for name in (*SERVICES, "cluster/c")],
    "ecs:DescribeTasks": [arn("ecs", f"task/{name}") for name in ("c/1", "d/1")],
    "s3:PutObject": [f"arn:aws:s3:::bucket/{key}" for key in ("logs/a", "logs/a:b", "other/a", "worker/a")],
    "s3:ListBucket": ["arn:aws:s3:::bucket"],
    "secretsmanager:GetSecretValue": [arn("secretsmanager", f"secret:{name}-AbCdEf") for name in ("a", "b")],
    "kms:Decrypt": [arn("kms", "key/1234"), arn("kms", "key/5678")],
    "cloudwatch:SetAlarmState": [arn("cloudwatch", "alarm:stack-AlarmA"), arn("cloudwatch", "alarm:other")],
    "application-autoscaling:DescribeScalableTargets": ["*"],
}
WITH_POLICY = ("s3:", "secretsmanager:", "kms:")
ACTION_PATTERNS = (*RESOURCES, "*", "ecs:*", "ECS:Update*", "ecs:Describe?asks", "s3:*Object", "kms:*", "s3:List*")
RESOURCE_PATTERNS = (
    "*",
    *(name for names in RESOURCES.values() for name in names),
    *("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", "arn:aws:s3:::*", "arn:aws:s3:::bucket/logs/?", "arn:*:s3:::b*"),
    *(
        arn("ecs", each)
        for each in ("*", "service/c/*", "service/*/worker", "task/c/*", "service/c/${aws:PrincipalTag/t}")
    ),
    "arn:aws:ecs:*:*:service/*",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/t}/*",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/missing}/*",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/missing, 'logs'}/*",
    arn("kms", "key/*"),
    arn("cloudwatch", "alarm:stack-Alarm*"),
)
TEXTS = ("worker", "Worker", "other", "w*", "*", "?orker", "${aws:PrincipalTag/t}", "${*}", "")
ARNS = (ROLE, OTHER, f"arn:aws:iam::{ACCOUNT}:role/*", "arn:aws:iam::*:role/worker", "arn:*:iam::*:*")
TEXT_OPERATORS = (
    *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"),
    *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
)
NUMBERS = ("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals")
DATES = ("DateGreaterThan", "DateLessThanEquals", "DateEquals", "DateNotEquals")
GIVEN = {
    "aws:PrincipalTag/t": ("worker", "other", "w*"),
    "aws:ResourceTag/FleetPool": ("worker", "other"),
    "aws:RequestTag/x": ("worker", "1"),
    "aws:SecureTransport": ("true", "false"),
    "aws:PrincipalArn": (ROLE,),
    "aws:CurrentTime": ("2026-11-30T00:00:00Z",),
    "aws:SourceIp": ("10.0.0.7",),
    "aws:MultiFactorAuthAge": ("30", "300"),
    "aws:TagKeys": (["worker"], ["worker", "other"], ["x"], []),
}
ALWAYS = ("aws:PrincipalArn", "aws:CurrentTime", "aws:SecureTransport")


class Dice(random.Random):
    """Makes requests and policies."""

    def some(self, values: Any, most: int = 3) -> Any:
        chosen = self.sample(list(values), k=self.randint(1, min(most, len(values))))
        return chosen[0] if len(chosen) == 1 and self.random() < 0.5 else chosen

    def condition(self) -> tuple[str, str, Any]:
        key = self.choice(list(GIVEN))
        if key == "aws:TagKeys":
            operator = f"{self.choice(('ForAllValues', 'ForAnyValue'))}:{self.choice(TEXT_OPERATORS)}"
            return operator, key, self.some(TEXTS[:6])
        if self.random() < 0.15:
            return "Null", key, self.choice(("true", "false", True, False))
        operators: tuple[str, ...]
        values: tuple[Any, ...]
        operators, values = {
            "aws:SecureTransport": (("Bool",), ("true", "false", True)),
            "aws:PrincipalArn": (("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"), ARNS),
            "aws:CurrentTime": (DATES, ("2026-11-30T00:00:00Z", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z")),
            "aws:SourceIp": (("IpAddress", "NotIpAddress"), ("10.0.0.0/8", "10.0.0.7", "192.168.0.0/16")),
            "aws:MultiFactorAuthAge": (NUMBERS, ("30", "60", "300")),
        }.get(key, (TEXT_OPERATORS, TEXTS))
        name = self.choice(operators) + ("IfExists" if self.random() < 0.3 else "")
        if "Not" in name:  # ours refuses to evaluate a variable without a value there
            values = tuple(each for each in values if "${aws" not in str(each))
        return name, key, self.some(values)

    def statement(self, *, of_resource: str | None = None) -> dict[str, Any]:
        statement: dict[str, Any] = {"Effect": "Allow" if self.random() < 0.75 else "Deny"}
        statement["Action" if self.random() < 0.85 else "NotAction"] = self.some(ACTION_PATTERNS)
        if of_resource is None or of_resource.startswith("s3:"):
            patterns = [each for each in RESOURCE_PATTERNS if of_resource is None or each == "*" or ":s3:" in each]
            if self.random() < 0.85:
                statement["Resource"] = self.some(patterns)
            else:  # ours refuses to evaluate a variable without a value there
                statement["NotResource"] = self.some([each for each in patterns if "${" not in each])
        else:
            statement["Resource"] = "*"
        if of_resource is not None:
            named = (ROLE, SESSION, OTHER, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
            statement["Principal"] = "*" if self.random() < 0.2 else {"AWS": self.some(named)}
        if self.random() < 0.6:
            conditions: dict[str, dict[str, Any]] = {}
            for _ in range(self.randint(1, 2)):
                name, key, values = self.condition()
                conditions.setdefault(name, {})[key] = values
            statement["Condition"] = conditions
        return statement

    def policy(self, **what: Any) -> dict[str, Any]:
        statements = [self.statement(**what) for _ in range(self.randint(1, 3))]
        return {"Version": "2012-10-17", "Statement": statements}

    def case(self) -> dict[str, Any]:
        action = self.choice(list(RESOURCES))
        context = {name: self.choice(values) for name, values in GIVEN.items() if name in ALWAYS or self.random() < 0.6}
        if action.startswith("s3:"):
            context.pop("aws:ResourceTag/FleetPool", None)  # S3 knows it only where a bucket turns that on
        identity = [self.policy() for _ in range(self.randint(0, 3))]
        has_policy = action.startswith(WITH_POLICY) and self.random() < 0.6
        return {
            "action": action,
            "resource": self.choice(RESOURCES[action]),
            "context": context,
            "identity": identity,
            "boundary": self.policy() if self.random() < 0.3 else None,
            "policy": self.policy(of_resource=action) if has_policy else None,
        }


def ours(case: dict[str, Any]) -> bool:
    context = {
        name.lower(): tuple(value) if isinstance(value, list) else value for name, value in case["context"].items()
    }
    request = Request(
        principal=Principal(account=ACCOUNT, arn=ROLE, session=SESSION),
        action=case["action"],
        resource=case["resource"],
        context=context,
    )
    rules = Rules(
        identity=[json.dumps(policy) for policy in case["identity"]],
        boundary=None if case["boundary"] is None else json.dumps(case["boundary"]),
        resource=None if case["policy"] is None else json.dumps(case["policy"]),
        needs_resource=case["action"].startswith("kms:"),
    )
    return decide(request, rules).is_allowed


def simulation(case: dict[str, Any]) -> dict[str, Any]:
    named = [{"name": str(number), "policy": policy} for number, policy in enumerate(case["identity"])]
    return {
        "request": {
            "principal": SESSION,
            "action": case["action"],
            "resource": {"resource": case["resource"], "accountId": ACCOUNT},
            "contextVariables": case["context"],
        },
        "identityPolicies": named,
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
        **({"permissionBoundaryPolicies": [{"name": "b", "policy": case["boundary"]}]} if case["boundary"] else {}),
        **({"resourcePolicy": case["policy"]} if case["policy"] else {}),
    }


@pytest.fixture(scope="module")
def peer() -> Path:
    """Fetch the peer, unless it is here already; return its folder."""
    stamp, lock = PEER / "node_modules" / LOCK, (SOURCE / LOCK).read_text()
    if not stamp.is_file() or stamp.read_text() != lock:
        shutil.rmtree(PEER, ignore_errors=True)
        shutil.copytree(SOURCE, PEER)
        try:
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                command, cwd=PEER, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S
            )
            reason = "" if done.returncode == 0 else "npm could not fetch it"
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
        if reason:
            pytest.skip(f"IAM's evaluation is NOT held against another implementation: {reason}")
        stamp.write_text(lock)
    return PEER


def theirs(cases: list[dict[str, Any]], peer: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", peer / "decide.mjs", peer],
        input=json.dumps([simulation(case) for case in cases]),
        capture_output=True,
        text=True,
        check=True,
        timeout=DECIDE_TIMEOUT_S,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def test_random_policies_are_decided_alike(peer: Path) -> None:
    dice = Dice(SEED)
    cases = [dice.case() for _ in range(CASES)]
    answers = theirs(cases, peer)
    assert [case for case, answer in zip(cases, answers, strict=True) if "errors" in answer] == []
    decided = [(ours(case), answer["result"] == "Allowed") for case, answer in zip(cases, answers, strict=True)]
    differ = [case for case, (mine, other) in zip(cases, decided, strict=True) if mine is not other]
    assert not differ, json.dumps(differ[0], indent=1)
    allowed = sum(mine for mine, _ in decided)
    assert CASES / 10 < allowed < CASES * 9 / 10
