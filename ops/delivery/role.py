"""Lets a role of `sam pipeline bootstrap` do what a delivery needs, for one environment of one repository."""

from __future__ import annotations

import json
from typing import Any

from ops.delivery.release import Refused

POLICY = "delivery"
PROVIDER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
# A deployment waits for workers that run tasks, for up to three hours; a session of an hour would end in its midst.
LONGEST_SESSION_S = 5 * 3600
# Beyond what the bootstrap allows: the snapshot and the version check.
ACTIONS = ("lambda:InvokeFunction", "rds:CreateDBSnapshot", "rds:AddTagsToResource", "rds:DescribeDBSnapshots")


def permissions(stack_name: str, *, partition: str, account: str) -> dict[str, Any]:
    """The policy: this stack's functions, its database and the snapshots that are named after it."""

    def arn(service: str, rest: str) -> str:
        return f"arn:{partition}:{service}:*:{account}:{rest}"

    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": list(ACTIONS),
                "Resource": [
                    arn("lambda", f"function:{stack_name}-*"),
                    arn("rds", f"db:{stack_name}-*"),
                    arn("rds", f"snapshot:{stack_name}-before-*"),
                ],
            }
        ],
    }


def trust(environment: str, *, repository: str, partition: str, account: str) -> dict[str, Any]:
    """Who may take the role: jobs of the repository's GitHub environments, which have rules of their own.

    One is for what is deployed, one for the plan, which people read before they approve.

    The bootstrap trusts a branch; a job that runs for a tag, or in an environment, is not on one.
    """
    subjects = [f"repo:{repository}:environment:{name}" for name in (environment, f"{environment}-plan")]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{PROVIDER}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{PROVIDER}:aud": AUDIENCE, f"{PROVIDER}:sub": subjects}},
            }
        ],
    }


def grant(iam: Any, role_arn: str, *, environment: str, stack_name: str, repository: str) -> None:
    """Gives the role its trust, its policy and long sessions.

    Raises Refused for what is no role's ARN, and what boto3 raises.
    """
    match role_arn.split(":"):
        case ["arn", partition, "iam", "", account, path] if path.startswith("role/"):
            name = path.rpartition("/")[2]
        case _:
            raise Refused(f"{role_arn!r} is not the ARN of a role")
    trusted = trust(environment, repository=repository, partition=partition, account=account)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trusted))
    iam.update_role(RoleName=name, MaxSessionDuration=LONGEST_SESSION_S)
    allowed = permissions(stack_name, partition=partition, account=account)
    iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(allowed))
