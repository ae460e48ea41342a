"""Where logs go: task logs into a bucket, what containers and functions print into log groups."""

from dataclasses import dataclass
from typing import Any

from troposphere import Output, Ref, Sub, Template
from troposphere.logs import LogGroup
from troposphere.s3 import (
    AbortIncompleteMultipartUpload,
    Bucket,
    BucketEncryption,
    BucketPolicy,
    LifecycleConfiguration,
    LifecycleRule,
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionRule,
)

from stack.declare import Between, add_parameter, hole
from stack.iam import POLICY_VERSION
from stack.settings import LOGS_GROUP, Settings

TASK_LOG_PREFIX = "logs"  # the image composes s3://<LOG_BUCKET>/logs
ABANDONED_UPLOAD_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Logs:
    bucket: Bucket
    prefix: str


def add_logs(t: Template) -> Logs:
    days = add_parameter(
        t,
        "TaskLogDays",
        group=LOGS_GROUP,
        label="Days to keep task logs",
        description="Days after which the logs of Airflow's tasks are deleted from their bucket.",
        constraint=Between(low=1, high=3650),
        default=180,
    )
    bucket = t.add_resource(
        Bucket(
            "LogBucket",
            # CloudFormation cannot delete a bucket that holds logs.
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
            BucketEncryption=BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
                    )
                ]
            ),
            LifecycleConfiguration=LifecycleConfiguration(
                Rules=[
                    LifecycleRule(
                        Id="expire",
                        Status="Enabled",
                        Prefix="",
                        ExpirationInDays=Ref(days),
                        AbortIncompleteMultipartUpload=AbortIncompleteMultipartUpload(
                            DaysAfterInitiation=ABANDONED_UPLOAD_DAYS
                        ),
                    )
                ]
            ),
            OwnershipControls=OwnershipControls(Rules=[OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]),
            PublicAccessBlockConfiguration=PublicAccessBlockConfiguration(
                BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
            ),
        )
    )
    t.add_resource(
        BucketPolicy(
            "LogBucketPolicy",
            Bucket=Ref(bucket),
            PolicyDocument={"Version": POLICY_VERSION, "Statement": [_refuse_plain_http(bucket)]},
        )
    )
    t.add_output(Output("LogBucketName", Description="Bucket with the logs of Airflow's tasks.", Value=Ref(bucket)))
    return Logs(bucket=bucket, prefix=TASK_LOG_PREFIX)


def _refuse_plain_http(bucket: Bucket) -> dict[str, Any]:
    return {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.get_att("Arn"), Sub(f"{hole(bucket, 'Arn')}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def add_log_group(t: Template, title: str, *, settings: Settings) -> LogGroup:
    return t.add_resource(
        LogGroup(
            title,
            DeletionPolicy="Delete",
            UpdateReplacePolicy="Delete",
            RetentionInDays=settings.log_retention_days,
        )
    )
