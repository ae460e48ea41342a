"""Where it is written down who asked the load balancer, the log bucket and the network for what."""

from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, Template
from troposphere.s3 import Bucket, BucketPolicy, ServerSideEncryptionByDefault

from stack.lib.buckets import add_bucket, add_bucket_policy, objects
from stack.lib.iam import Statement
from stack.lib.parameters import Between, add_parameter, suppress
from stack.sections.settings import LOGS_GROUP

BALANCER_PREFIX = "balancer"
BUCKET_PREFIX = "bucket/"
NETWORK_PREFIX = "network"
FLOW_LOGS = "delivery.logs.amazonaws.com"
ENDLESS = "This is where access logs go: to log their delivery would never end."


@dataclass(frozen=True, kw_only=True)
class AccessLogs:
    """`policy` must stand before anybody is told to deliver."""

    bucket: Bucket
    policy: BucketPolicy


def add_access_logs(t: Template) -> AccessLogs:
    days = add_parameter(
        t,
        "AccessLogDays",
        group=LOGS_GROUP,
        label="Days to keep access logs",
        description="Days after which logs of requests to load balancer and log bucket, and flow logs, are deleted.",
        constraint=Between(low=1, high=3650),
        default=90,
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
    bucket = add_bucket(t, "AccessLogBucket", days=Ref(days), encryption=encryption)
    suppress(
        bucket,
        checkov={"CKV_AWS_18": ENDLESS},
        guard={
            "s3_bucket_logging_enabled_check": ENDLESS,
            "s3_bucket_default_encryption_kms_check": "Load balancers deliver to buckets of S3's own encryption only.",
            "s3_bucket_object_lock_enabled_check": "S3 delivers access logs to no bucket with a default retention.",
        },
    )
    deliveries = [
        _deliver("logdelivery.elasticloadbalancing.amazonaws.com", bucket=bucket, prefix=f"{BALANCER_PREFIX}/AWSLogs/"),
        _deliver("logging.s3.amazonaws.com", bucket=bucket, prefix=BUCKET_PREFIX),
        _deliver(FLOW_LOGS, bucket=bucket, prefix=f"{NETWORK_PREFIX}/"),
        # Asked before a flow log is created; the answer is the same for every bucket without access lists.
        _of_this_account(FLOW_LOGS, action="s3:GetBucketAcl", resource=bucket.get_att("Arn")),
    ]
    return AccessLogs(
        bucket=bucket, policy=add_bucket_policy(t, "AccessLogBucketPolicy", bucket=bucket, statements=deliveries)
    )


def _deliver(service: str, *, bucket: Bucket, prefix: str) -> Statement:
    return _of_this_account(service, action="s3:PutObject", resource=objects(bucket, prefix))


def _of_this_account(service: str, *, action: str, resource: Any) -> Statement:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": resource,
        "Condition": {"StringEquals": {"aws:SourceAccount": Sub("${AWS::AccountId}")}},
    }
