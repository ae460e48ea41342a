"""Where logs go: task logs into a bucket, what containers and functions print into log groups."""

from dataclasses import dataclass

from troposphere import Output, Ref, Template
from troposphere.logs import LogGroup
from troposphere.s3 import Bucket, LoggingConfiguration, ServerSideEncryptionByDefault

from stack.lib.buckets import add_bucket, add_bucket_policy
from stack.lib.parameters import Between, add_parameter
from stack.sections.access_logs import BUCKET_PREFIX, AccessLogs
from stack.sections.settings import LOGS_GROUP, Settings

TASK_LOG_PREFIX = "logs"  # the image composes s3://<LOG_BUCKET>/logs


@dataclass(frozen=True, kw_only=True)
class Logs:
    bucket: Bucket
    prefix: str


def add_logs(t: Template, *, settings: Settings, access_logs: AccessLogs) -> Logs:
    days = add_parameter(
        t,
        "TaskLogDays",
        group=LOGS_GROUP,
        label="Days to keep task logs",
        description="Days after which the logs of Airflow's tasks are deleted from their bucket.",
        constraint=Between(low=1, high=3650),
        default=180,
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=settings.key_arn)
    bucket = add_bucket(t, "LogBucket", days=Ref(days), encryption=encryption)
    bucket.LoggingConfiguration = LoggingConfiguration(
        DestinationBucketName=Ref(access_logs.bucket), LogFilePrefix=BUCKET_PREFIX
    )
    # Locks nothing by itself: whoever must keep logs unchanged can set a retention, which needs this from the start.
    bucket.ObjectLockEnabled = True
    bucket.DependsOn = access_logs.policy.title
    add_bucket_policy(t, "LogBucketPolicy", bucket=bucket)
    t.add_output(Output("LogBucketName", Description="Bucket with the logs of Airflow's tasks.", Value=Ref(bucket)))
    return Logs(bucket=bucket, prefix=TASK_LOG_PREFIX)


def add_log_group(t: Template, title: str, *, settings: Settings) -> LogGroup:
    return t.add_resource(
        LogGroup(
            title,
            DeletionPolicy="Delete",
            UpdateReplacePolicy="Delete",
            KmsKeyId=settings.key_arn,
            RetentionInDays=settings.log_retention_days,
        )
    )
