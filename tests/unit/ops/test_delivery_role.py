"""The role that plans changes nothing, and an environment's ledger is written by its own role only.

The policies are evaluated as the local AWS API does. What the bootstrap allows is read from the installed SAM CLI.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.aws.iam.policies import Principal, Request, Rules, decide
from ops.delivery.__main__ import main
from ops.delivery.role import CHANGES, LONGEST_SESSION_S
from tests.support.pipeline_roles import ACCOUNT, CLOUDFORMATION_ROLE, Statement, bootstrap_statements

BUCKET = "the-bucket"
GITHUB = "token.actions.githubusercontent.com"


def policy(statements: list[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def may(statements: list[Statement], action: str, resource: str, **context: str) -> bool:
    """Return whether a role with these statements may do this; the keys of `context` have `_` for `:`."""
    keys = {name.replace("_", ":").lower(): value for name, value in context.items()}
    request = Request(principal=Principal(account=ACCOUNT), action=action, resource=resource, context=keys)
    return decide(request, Rules(identity=[policy(statements)])).is_allowed


def lets(rules: list[Statement], action: str, resource: str, *, principal: str) -> bool:
    """Return whether a bucket with these rules lets a role of the account do this."""
    request = Request(
        principal=Principal(account=ACCOUNT, arn=principal),
        action=action,
        resource=resource,
        context={"aws:principalarn": principal},
    )
    return decide(request, Rules(resource=policy(rules))).is_allowed


def stack(environment: str) -> str:
    return f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/airflow-{environment}/0a1b"


def kept(key: str) -> str:
    return f"arn:aws:s3:::{BUCKET}/{key}"


class Account:
    """The account, with an environment's roles as the commands leave them."""

    def __init__(self) -> None:
        api: Any = boto3  # boto3's stubs know no conditions
        self.iam, self.s3 = api.client("iam"), api.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)

    def bootstrapped(self, environment: str) -> str:
        name = f"pipeline-{environment}"
        return str(self.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"])

    def granted(self, environment: str, role: str) -> int:
        own = ["--env", environment, "--role", role, "--repository", "me/airflow", "--bucket", BUCKET]
        return main(["role", *own, "--cloudformation-role", CLOUDFORMATION_ROLE])

    def statements(self, role: str) -> list[Statement]:
        policy = self.iam.get_role_policy(RoleName=role, PolicyName="delivery")["PolicyDocument"]
        own: list[Statement] = policy["Statement"]
        return own if role.endswith("-plan") else [*bootstrap_statements(), *own]

    def subject(self, role: str) -> object:
        (trusted,) = self.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        return trusted["Condition"]["StringEquals"][f"{GITHUB}:sub"]

    def bucket_rules(self) -> list[Statement]:
        found: list[Statement] = json.loads(self.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
        return found


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Account()


@pytest.mark.parametrize("environment", ["dev", "qa", "prd"])
class TestPlanRole:
    @pytest.fixture
    def planner(self, environment: str, account: Account) -> list[Statement]:
        assert account.granted(environment, account.bootstrapped(environment)) == 0
        return account.statements(f"airflow-{environment}-plan")

    def test_is_for_the_jobs_that_no_one_reviewed_and_the_other_for_those_that_were(
        self, environment: str, planner: list[Statement], account: Account
    ) -> None:
        assert planner
        assert account.subject(f"airflow-{environment}-plan") == f"repo:me/airflow:environment:{environment}-plan"
        assert account.subject(f"pipeline-{environment}") == f"repo:me/airflow:environment:{environment}"
        deployer = account.iam.get_role(RoleName=f"pipeline-{environment}")["Role"]
        assert deployer["MaxSessionDuration"] == LONGEST_SESSION_S == 18000  # as deploy.yml asks for

    def test_can_make_and_read_a_change_set_of_its_stack(self, environment: str, planner: list[Statement]) -> None:
        for action in ("CreateChangeSet", "DescribeChangeSet", "DescribeStacks", "TagResource"):
            assert may(planner, f"cloudformation:{action}", stack(environment))
        assert may(planner, "s3:PutObject", kept(f"airflow-{environment}/0a1b2c.template"))
        assert may(planner, "s3:GetObject", kept("delivery/environments/dev.json"))
        function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:airflow-{environment}-VersionCheckFunction-0A1B"
        assert may(planner, "lambda:InvokeFunction", function)

    def test_can_execute_nothing_whatever_else_is_attached(self, environment: str, planner: list[Statement]) -> None:
        everything = [*planner, {"Effect": "Allow", "Action": "*", "Resource": "*"}]
        for action in CHANGES:
            assert not may(everything, f"cloudformation:{action.rstrip('*')}", stack(environment))
        for key in (
            "delivery/environments/dev.json",
            f"delivery/environments/{environment}.json",
            "delivery/releases/1",
        ):
            assert not may(everything, "s3:PutObject", kept(key))

    def test_can_touch_nothing_beside_its_stack(self, environment: str, planner: list[Statement]) -> None:
        other = {"dev": "qa", "qa": "prd", "prd": "dev"}[environment]
        assert not may(planner, "cloudformation:CreateChangeSet", stack(other))
        assert not may(planner, "s3:PutObject", kept(f"airflow-{other}/0a1b2c.template"))
        for action in ("rds:CreateDBSnapshot", "ecr:PutImage", "sts:AssumeRole", "iam:PutRolePolicy"):
            assert not may(planner, action, "*")
        sleeper = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:airflow-{environment}-SleeperFunction-0A1B"
        assert not may(planner, "lambda:InvokeFunction", sleeper)

        to_cloudformation = "cloudformation.amazonaws.com"
        assert may(planner, "iam:PassRole", CLOUDFORMATION_ROLE, iam_PassedToService=to_cloudformation)
        assert not may(planner, "iam:PassRole", CLOUDFORMATION_ROLE, iam_PassedToService="lambda.amazonaws.com")
        assert not may(planner, "iam:PassRole", f"{CLOUDFORMATION_ROLE}2", iam_PassedToService=to_cloudformation)


@pytest.mark.parametrize("environment", ["dev", "qa", "prd"])
def test_a_deploying_role_changes_its_own_stack_and_ledger_only(environment: str, account: Account) -> None:
    account.granted(environment, account.bootstrapped(environment))
    deployer = account.statements(f"pipeline-{environment}")
    for each in ("dev", "qa", "prd"):
        own = each == environment
        assert may(bootstrap_statements(), "s3:PutObject", kept(f"delivery/environments/{each}.json"))
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert may(deployer, action, kept(f"delivery/environments/{each}.json")) is own
        assert may(deployer, "s3:GetObject", kept(f"delivery/environments/{each}.json"))
        for action in ("CreateChangeSet", "ExecuteChangeSet"):
            assert may(deployer, f"cloudformation:{action}", stack(each)) is own
        assert may(deployer, "cloudformation:TagResource", stack(each)) is own
        assert not may(deployer, "cloudformation:DeleteStack", stack(each))
        snapshot = f"arn:aws:rds:us-east-1:{ACCOUNT}:snapshot:airflow-{each}-before-1"
        assert may(deployer, "rds:CreateDBSnapshot", snapshot) is own
    assert may(deployer, "s3:PutObject", kept("delivery/releases/1.json")) is (environment == "dev")


def test_the_bucket_lets_no_one_else_write_a_ledger(account: Account) -> None:
    before = {"Sid": "OfTheBootstrap", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": kept("*")}
    account.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [before]}))
    roles = {each: account.bootstrapped(each) for each in ("dev", "qa", "prd")}
    operator = f"arn:aws:iam::{ACCOUNT}:role/operator"
    for each, role in roles.items():
        for _ in range(2):  # again, after an operator came or went
            own = ["--env", each, "--role", role, "--bucket", BUCKET, "--operators", operator]
            assert main(["ledger", *own]) == 0
    rules = account.bucket_rules()
    assert [each["Sid"] for each in rules] == ["OfTheBootstrap", "LedgerOfDev", "Releases", "LedgerOfQa", "LedgerOfPrd"]
    anyone = f"arn:aws:iam::{ACCOUNT}:role/Administrator"
    for each in roles:
        for who, role in {**roles, "operator": operator, "anyone": anyone}.items():
            for action in ("s3:PutObject", "s3:PutObjectAcl", "s3:DeleteObject", "s3:DeleteObjectVersion"):
                key = kept(f"delivery/environments/{each}.json")
                assert lets(rules, action, key, principal=role) is (who in (each, "operator"))
    assert lets(rules, "s3:PutObject", kept("delivery/releases/1.json"), principal=roles["dev"])
    assert not lets(rules, "s3:PutObject", kept("delivery/releases/1.json"), principal=roles["prd"])


@pytest.mark.parametrize("command", ["role", "ledger"])
def test_what_is_not_the_arn_of_a_role_is_refused(command: str, account: Account) -> None:
    more = ["--repository", "me/airflow", "--cloudformation-role", CLOUDFORMATION_ROLE] if command == "role" else []
    assert main([command, "--env", "qa", "--role", "the-role", "--bucket", BUCKET, *more]) == 1
