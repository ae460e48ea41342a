"""Allow a role of `sam pipeline bootstrap` to deliver to one environment from one repository."""

from __future__ import annotations

import json
from typing import Any

from ops.delivery.release import Refused

POLICY = "delivery"
PROVIDER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
# A deployment waits up to three hours for workers that run tasks; a session of one hour would end before it.
LONGEST_SESSION_S = 5 * 3600
# Not in the bootstrap's policy: the snapshot and the version check.
ACTIONS = ("lambda:InvokeFunction", "rds:CreateDBSnapshot", "rds:AddTagsToResource", "rds:DescribeDBSnapshots")


def permissions(stack_name: str, *, partition: str, account: str) -> dict[str, Any]:
    """Return the policy for this stack's functions, its database and the snapshots named after it."""

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
    """Return the trust policy: jobs in two GitHub environments of the repository, which have rules of their own.

    One environment deploys; the other makes the plan, which people read before they approve.

    The bootstrap trusts a branch, but a job that runs for a tag or in an environment is not on a branch.
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
    """Give the role its trust, its policy and long sessions.

    Raises Refused when `role_arn` is not the ARN of a role, and what boto3 raises.
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
