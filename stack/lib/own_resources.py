"""Denies the code of DAGs the stack's own resources, whatever policies are attached to its role."""

from typing import Any

from troposphere import Sub
from troposphere.ecs import Cluster

from stack.lib.iam import POOL_TAG, Statement
from stack.lib.parameters import placeholder

# What a worker itself does with the stack's resources; other statements say with which of them.
NEEDED = ("ecs:UpdateTaskProtection", "s3:GetObject", "s3:ListBucket", "s3:PutObject")
NAMED = "${AWS::StackName}-*"  # how the names begin that CloudFormation makes
# AWS's documentation does not say which of them the condition has in China.
SUFFIXES = ("amazonaws.com", "amazonaws.com.cn")
POOL_KEY = f"aws:ResourceTag/{POOL_TAG}"


def deny_own_resources(
    *,
    cluster: Cluster,
    database_arn: Any,
    bucket_arn: Any,
    dags_arn: Any,
    access_logs_arn: Any,
    key_arn: Any,
    pool: str,
) -> list[Statement]:
    """Deny what would lead to the stack's secrets, end ECS tasks, or change or remove what the stack has.

    A denial has precedence over what any policy allows. The names of the stack's secrets do not begin with its own, so
    the key denies reading them: tasks may use it through S3 only.
    """
    through_s3 = [Sub(f"s3.${{AWS::Region}}.{suffix}") for suffix in SUFFIXES]
    return [
        {
            "Effect": "Deny",
            "NotAction": list(NEEDED),
            "Resource": [
                Sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{NAMED}"),
                _arn("cloudformation", "stack/${AWS::StackName}/*"),
                _arn("lambda", f"function:{NAMED}"),
                _arn("logs", f"log-group:{NAMED}"),
                _arn("elasticache", f"*:{NAMED}"),
                _arn("ecs", f"task-definition/{NAMED}"),
                _arn("sns", NAMED),
                _arn("ecs", f"service/{placeholder(cluster)}/*"),
                _arn("ecs", f"task/{placeholder(cluster)}/*"),
                cluster.get_att("Arn"),
                database_arn,
                bucket_arn,
                Sub("${Bucket}/*", Bucket=bucket_arn),
            ],
        },
        {
            "Effect": "Deny",
            "Action": ["ecs:UpdateTaskProtection"],
            "Resource": [_arn("ecs", f"task/{placeholder(cluster)}/*")],
            # A worker of a release without the tag may be changed by all.
            "Condition": {"StringNotEquals": {POOL_KEY: pool}, "Null": {POOL_KEY: "false"}},
        },
        # A task of a team's own definition, too: who counts or stops ECS tasks here takes them for the stack's.
        {
            "Effect": "Deny",
            "Action": ["ecs:RunTask", "ecs:StartTask"],
            "Resource": ["*"],
            "Condition": {"ArnEquals": {"ecs:cluster": cluster.get_att("Arn")}},
        },
        # Who could write there would choose the code of all pools.
        {
            "Effect": "Deny",
            "NotAction": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [dags_arn, Sub("${Bucket}/*", Bucket=dags_arn)],
        },
        {
            "Effect": "Deny",
            "Action": ["s3:*"],
            "Resource": [access_logs_arn, Sub("${Bucket}/*", Bucket=access_logs_arn)],
        },
        {
            "Effect": "Deny",
            "Action": ["kms:*"],
            "Resource": [key_arn],
            "Condition": {"StringNotEquals": {"kms:ViaService": through_s3}},
        },
    ]


def _arn(service: str, rest: str) -> Sub:
    return Sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")
