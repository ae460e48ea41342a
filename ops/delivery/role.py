"""What the roles of the pipeline may do: one role of an environment deploys, another only plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.delivery.plan import ENVIRONMENTS, predecessor
from ops.delivery.release import Refused
from ops.delivery.store import LEDGERS, RELEASES

Statement = dict[str, Any]

POLICY = "delivery"
PROVIDER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
# A deployment waits for new workers at the gate of `airflow`, then for old ones to finish: more than an hour in all.
LONGEST_SESSION_S = 5 * 3600
PLAN_SESSION_S = 3600
# Not in the bootstrap's policy: the snapshot and the version check.
ACTIONS = ("lambda:InvokeFunction", "rds:CreateDBSnapshot", "rds:AddTagsToResource", "rds:DescribeDBSnapshots")
PLAN_ACTIONS = ("CreateChangeSet", "DescribeChangeSet", "DescribeStacks", "DescribeStackEvents", "GetTemplate")
# A change set gives the stack the tags of samconfig.toml.
TAGGING = ["cloudformation:TagResource"]
# Whatever else may be attached to the role that plans, it changes no stack.
CHANGES = (
    *("ExecuteChangeSet", "CreateStack*", "UpdateStack*", "DeleteStack*", "RollbackStack", "ContinueUpdateRollback"),
    *("CancelUpdateStack", "SetStackPolicy", "UpdateTerminationProtection", "SignalResource", "ImportStacksToStackSet"),
)
OBJECT_CHANGES = ["s3:PutObject*", "s3:DeleteObject*", "s3:Replicate*", "s3:RestoreObject"]
TRANSFORM = "transform/Serverless-2016-10-31"


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Where an environment is delivered. `prefix`: of SAM's artifacts in the bucket."""

    environment: str
    stack_name: str
    repository: str
    bucket: str
    prefix: str
    cloudformation_role: str


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role's ARN, in parts."""

    partition: str
    account: str
    name: str

    @classmethod
    def from_arn(cls, arn: str) -> Role:
        """Read an ARN. Raises Refused when it is not a role's."""
        match arn.split(":"):
            case ["arn", partition, "iam", "", account, path] if path.startswith("role/"):
                return cls(partition=partition, account=account, name=path.rpartition("/")[2])
        raise Refused(f"{arn!r} is not the ARN of a role")

    def arn(self, service: str, rest: str) -> str:
        """Return an ARN of the role's account, in any region."""
        return f"arn:{self.partition}:{service}:*:{self.account}:{rest}"

    def objects(self, bucket: str, *keys: str) -> list[str]:
        """Return the ARNs of objects; a key may end in *."""
        return [f"arn:{self.partition}:s3:::{bucket}/{key}" for key in keys]


def deploy_policy(pipeline: Pipeline, role: Role) -> dict[str, Any]:
    """Return what the deploying role needs beside the bootstrap's policy, and what it must not do of that policy.

    The bootstrap allows changes of every stack of the account, and of everything in a bucket that environments share.
    """
    stack = pipeline.stack_name
    written = [f"{pipeline.prefix}/*", LEDGERS.format(pipeline.environment)]
    if predecessor(pipeline.environment) is None:  # the environment in which images are built
        written.append(RELEASES.format("*"))
    allowed = [
        role.arn("lambda", f"function:{stack}-*"),
        role.arn("rds", f"db:{stack}-*"),
        role.arn("rds", f"snapshot:{stack}-before-*"),
    ]
    changes = ["CreateChangeSet", *CHANGES]
    return _policy(
        _allow(ACTIONS, allowed),
        _allow(TAGGING, _stack(pipeline, role)),
        {
            "Effect": "Deny",
            "Action": [f"cloudformation:{each}" for each in changes],
            "NotResource": _stack(pipeline, role),
        },
        {"Effect": "Deny", "Action": ["cloudformation:DeleteStack"], "Resource": "*"},
        {"Effect": "Deny", "Action": OBJECT_CHANGES, "NotResource": role.objects(pipeline.bucket, *written)},
    )


def plan_policy(pipeline: Pipeline, role: Role) -> dict[str, Any]:
    """Return all that a role needs to make a change set of one stack: it can neither execute it nor write a ledger."""
    bucket = f"arn:{role.partition}:s3:::{pipeline.bucket}"
    passed = {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    read = ["delivery/*", f"{pipeline.prefix}/*"]
    written = role.objects(pipeline.bucket, f"{pipeline.prefix}/*")
    return _policy(
        _allow([*(f"cloudformation:{each}" for each in PLAN_ACTIONS), *TAGGING], _stack(pipeline, role)),
        _allow(["cloudformation:GetTemplateSummary"], "*"),
        {**_allow(["iam:PassRole"], pipeline.cloudformation_role), "Condition": passed},
        # Without the right to list, S3 answers that an object which is not there is forbidden.
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], bucket),
        _allow(["s3:GetObject"], role.objects(pipeline.bucket, *read)),
        _allow(["s3:PutObject", "s3:AbortMultipartUpload"], written),
        _allow(["lambda:InvokeFunction"], role.arn("lambda", f"function:{pipeline.stack_name}-VersionCheck*")),
        {"Effect": "Deny", "Action": [f"cloudformation:{each}" for each in CHANGES], "Resource": "*"},
        {"Effect": "Deny", "Action": OBJECT_CHANGES, "NotResource": written},
    )


def _stack(pipeline: Pipeline, role: Role) -> list[str]:
    """Return the stack, and the transform that a change set of it runs."""
    transform = f"arn:{role.partition}:cloudformation:*:aws:{TRANSFORM}"
    return [role.arn("cloudformation", f"stack/{pipeline.stack_name}/*"), transform]


def _allow(actions: Sequence[str], resources: str | Sequence[str]) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resources}


def _policy(*statements: Statement) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(github_environment: str, *, repository: str, role: Role) -> dict[str, Any]:
    """Return the trust policy: jobs in one GitHub environment of the repository, which has rules of its own.

    The bootstrap trusts a branch, but a job that runs for a tag or in an environment is not on a branch.
    """
    subject = f"repo:{repository}:environment:{github_environment}"
    return _policy(
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:{role.partition}:iam::{role.account}:oidc-provider/{PROVIDER}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{PROVIDER}:aud": AUDIENCE, f"{PROVIDER}:sub": subject}},
        }
    )


def grant(iam: Any, role_arn: str, pipeline: Pipeline) -> str:
    """Let the role deploy, make the role that plans, and return the ARN of that one.

    Raises Refused when `role_arn` is not the ARN of a role, and what boto3 raises.
    """
    role = Role.from_arn(role_arn)
    _set_trust(iam, role.name, trust(pipeline.environment, repository=pipeline.repository, role=role))
    iam.update_role(RoleName=role.name, MaxSessionDuration=LONGEST_SESSION_S)
    _set_policy(iam, role.name, deploy_policy(pipeline, role))
    name = f"{pipeline.stack_name}-plan"
    trusted = trust(f"{pipeline.environment}-plan", repository=pipeline.repository, role=role)
    try:
        made = iam.get_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        made = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted), MaxSessionDuration=PLAN_SESSION_S
        )
    _set_trust(iam, name, trusted)
    _set_policy(iam, name, plan_policy(pipeline, role))
    return str(made["Role"]["Arn"])


def _set_trust(iam: Any, name: str, trusted: dict[str, Any]) -> None:
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trusted))


def _set_policy(iam: Any, name: str, policy: dict[str, Any]) -> None:
    iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy))


def ledger_statements(environment: str, *, bucket: str, role_arn: str, operators: Sequence[str]) -> list[Statement]:
    """Return the bucket's rules: no one but the role, and operators who settle a database, writes this ledger.

    The first environment's role also is the only one that writes releases.
    """
    role = Role.from_arn(role_arn)
    kept = {f"LedgerOf{environment.capitalize()}": LEDGERS.format(environment)}
    if environment == ENVIRONMENTS[0]:
        kept["Releases"] = RELEASES.format("*")
    return [
        {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": OBJECT_CHANGES,
            "Resource": role.objects(bucket, key),
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [role_arn, *operators]}},
        }
        for sid, key in kept.items()
    ]


def protect_ledger(s3: Any, environment: str, *, bucket: str, role_arn: str, operators: Sequence[str]) -> None:
    """Put the ledger's rules into the bucket's policy, beside the others. Raises Refused, and what boto3 raises."""
    added = ledger_statements(environment, bucket=bucket, role_arn=role_arn, operators=operators)
    try:
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        policy = _policy()
    replaced = {each["Sid"] for each in added}
    policy["Statement"] = [each for each in policy["Statement"] if each.get("Sid") not in replaced] + added
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
