"""The buckets for logs: access logs and flow logs go to one, task logs to another."""

from dataclasses import dataclass

from troposphere import And, Condition, Equals, Join, Not, Output, Ref, Sub, Template
from troposphere.ec2 import FlowLog
from troposphere.s3 import Bucket, BucketPolicy, LoggingConfiguration, ServerSideEncryptionByDefault

from stack.lib.iam import Statement, allow_service
from stack.lib.logs import add_bucket, add_bucket_policy, objects
from stack.lib.parameters import Between, FormGroup, OneOf, add_condition, suppress
from stack.lib.settings import Settings
from stack.sections.network import GROUP as NETWORK_GROUP
from stack.sections.network import Network
from stack.sections.settings import LOGS_GROUP

TASK_LOG_PREFIX = "logs"  # the image composes s3://<LOG_BUCKET>/logs
TASK_LOG_COPIES = ("none", "errors", "all")  # of agent.runner.log_copy, which cannot be imported here; a test compares
BALANCER_PREFIX = "balancer"
BUCKET_PREFIX = "bucket/"
NETWORK_PREFIX = "network"
FLOW_LOGS = "delivery.logs.amazonaws.com"
NO_TRAFFIC = "NONE"
# Seconds over which a connection's packets are counted into one record: the longer of AWS's two choices.
AGGREGATION_S = 600
ENDLESS_REASON = "Access logs go to this bucket: logging their delivery would log itself without end."


@dataclass(frozen=True, kw_only=True)
class AccessLogs:
    """`policy` must exist before a service is told to deliver."""

    bucket: Bucket
    policy: BucketPolicy


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The bucket of task logs, below `prefix`; `access` is that of access logs. `days`: how long task logs are kept.

    `copied`: which of their lines are copied to the workers' container logs.
    """

    bucket: Bucket
    prefix: str
    access: Bucket
    days: Ref
    copied: Ref


def add_access_logs(t: Template) -> AccessLogs:
    days = FormGroup(t, LOGS_GROUP).add(
        "AccessLogDays",
        label="Days to keep access logs",
        description="Days after which flow logs, and access logs of the load balancer and the log bucket, are deleted.",
        constraint=Between(low=1, high=3650),
        default=90,
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
    # The load balancer writes a file as soon as it may deliver: to delete the bucket, a rollback would fail.
    bucket = add_bucket(t, "AccessLogBucket", days=Ref(days), encryption=encryption, deletion_policy="Retain")
    suppress(
        bucket,
        checkov={"CKV_AWS_18": ENDLESS_REASON},
        guard={
            "s3_bucket_logging_enabled_check": ENDLESS_REASON,
            "s3_bucket_default_encryption_kms_check": "Load balancers deliver only to buckets with S3's encryption.",
            "s3_bucket_object_lock_enabled_check": "S3 delivers no access logs to a bucket with a default retention.",
        },
    )
    deliveries = [
        _allow_balancer(bucket),
        _allow_delivery("logging.s3.amazonaws.com", bucket=bucket, prefix=BUCKET_PREFIX),
        _allow_delivery(FLOW_LOGS, bucket=bucket, prefix=f"{NETWORK_PREFIX}/"),
        # AWS checks it before it creates a flow log; the answer is the same for every bucket without access lists.
        allow_service(FLOW_LOGS, action="s3:GetBucketAcl", resource=bucket.get_att("Arn")),
    ]
    return AccessLogs(
        bucket=bucket, policy=add_bucket_policy(t, "AccessLogBucketPolicy", bucket=bucket, statements=deliveries)
    )


def log_requests(bucket: Bucket, access_logs: AccessLogs) -> None:
    """Let S3 log the requests to a bucket."""
    bucket.LoggingConfiguration = LoggingConfiguration(
        DestinationBucketName=Ref(access_logs.bucket), LogFilePrefix=BUCKET_PREFIX
    )
    bucket.DependsOn = access_logs.policy.title


def add_logs(t: Template, *, settings: Settings, access_logs: AccessLogs) -> Logs:
    days = FormGroup(t, LOGS_GROUP).add(
        "TaskLogDays",
        label="Days to keep task logs and large XComs",
        description="Days after which the logs of Airflow's tasks, and large XComs, are deleted from their buckets.",
        constraint=Between(low=1, high=3650),
        default=180,
    )
    copied = FormGroup(t, LOGS_GROUP).add(
        "TaskLogCopy",
        label="Task logs in CloudWatch",
        description="Which lines of task logs are copied to CloudWatch Logs, where they can be searched: none, errors "
        "(and warnings), or all. The bucket has all of them in any case.",
        constraint=OneOf(values=TASK_LOG_COPIES),
        default=TASK_LOG_COPIES[0],
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=settings.key_arn)
    bucket = add_bucket(t, "LogBucket", days=Ref(days), encryption=encryption)
    log_requests(bucket, access_logs)
    # Locks nothing by itself. A retention, for logs that must stay unchanged, needs it from the bucket's creation on.
    bucket.ObjectLockEnabled = True
    add_bucket_policy(t, "LogBucketPolicy", bucket=bucket)
    t.add_output(Output("LogBucketName", Description="Bucket with the logs of Airflow's tasks.", Value=Ref(bucket)))
    return Logs(bucket=bucket, prefix=TASK_LOG_PREFIX, access=access_logs.bucket, days=Ref(days), copied=Ref(copied))


def add_flow_logs(t: Template, *, network: Network, access_logs: AccessLogs) -> None:
    """Add flow logs of a created network; for an existing network, its owner decides."""
    traffic = FormGroup(t, NETWORK_GROUP).add(
        "FlowLogTraffic",
        label="Flow logs",
        description="Connections that are logged in a created VPC: all, rejected ones, or none.",
        constraint=OneOf(values=(NO_TRAFFIC, "REJECT", "ALL")),
        default=NO_TRAFFIC,
    )
    is_logged = add_condition(
        t, "IsTrafficLogged", And(Condition(network.is_created), Not(Equals(Ref(traffic), NO_TRAFFIC)))
    )
    t.add_resource(
        FlowLog(
            "NetworkFlowLog",
            Condition=is_logged,
            DependsOn=access_logs.policy.title,
            # One folder per kind: two flow logs of a VPC may not share one, and an update creates the new one first.
            LogDestination=Join("", [access_logs.bucket.get_att("Arn"), f"/{NETWORK_PREFIX}/", Ref(traffic)]),
            LogDestinationType="s3",
            MaxAggregationInterval=AGGREGATION_S,
            ResourceId=network.created_vpc,
            ResourceType="VPC",
            TrafficType=Ref(traffic),
        )
    )


def _allow_balancer(bucket: Bucket) -> Statement:
    """Allow load balancers of this account, by the path: their service names no account in its requests everywhere.

    It composes the path itself, with the account that owns the load balancer.
    """
    own = Sub(f"${{Bucket}}/{BALANCER_PREFIX}/AWSLogs/${{AWS::AccountId}}/*", Bucket=bucket.get_att("Arn"))
    principal = {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    return {"Effect": "Allow", "Principal": principal, "Action": "s3:PutObject", "Resource": own}


def _allow_delivery(service: str, *, bucket: Bucket, prefix: str) -> Statement:
    return allow_service(service, action="s3:PutObject", resource=objects(bucket, prefix))
