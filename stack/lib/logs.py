"""Storage: log groups, and buckets that are private, versioned, TLS only and outlive the stack."""

from collections.abc import Sequence
from typing import Any

from troposphere import Join, Ref, RetainExceptOnCreate, Template
from troposphere.logs import LogGroup
from troposphere.s3 import (
    AbortIncompleteMultipartUpload,
    Bucket,
    BucketEncryption,
    BucketPolicy,
    EventBridgeConfiguration,
    LifecycleConfiguration,
    LifecycleRule,
    NoncurrentVersionExpiration,
    NotificationConfiguration,
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionRule,
    VersioningConfiguration,
)

from stack.lib.iam import POLICY_VERSION, Statement
from stack.lib.settings import Settings

ABANDONED_UPLOAD_DAYS = 7
OLD_VERSION_DAYS = 7


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


def add_bucket(
    t: Template,
    title: str,
    *,
    days: Any | None,
    encryption: ServerSideEncryptionByDefault,
    deletion_policy: str = RetainExceptOnCreate,
) -> Bucket:
    """Add a bucket that deletes objects after `days`, and old versions a week after they were replaced or deleted.

    With `days` None it deletes old versions only.

    CloudFormation cannot delete a bucket that holds anything. In the first deployment it holds nothing yet, so that a
    rollback deletes it, unless `deletion_policy` says otherwise.
    """
    return t.add_resource(
        Bucket(
            title,
            DeletionPolicy=deletion_policy,
            UpdateReplacePolicy="Retain",
            BucketEncryption=BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    ServerSideEncryptionRule(BucketKeyEnabled=True, ServerSideEncryptionByDefault=encryption)
                ]
            ),
            LifecycleConfiguration=LifecycleConfiguration(
                Rules=[
                    LifecycleRule(
                        Id="expire",
                        Status="Enabled",
                        Prefix="",
                        **({} if days is None else {"ExpirationInDays": days}),
                        NoncurrentVersionExpiration=NoncurrentVersionExpiration(NoncurrentDays=OLD_VERSION_DAYS),
                        AbortIncompleteMultipartUpload=AbortIncompleteMultipartUpload(
                            DaysAfterInitiation=ABANDONED_UPLOAD_DAYS
                        ),
                    )
                ]
            ),
            # Nothing in the stack listens to the bucket's events; operators can add rules of their own.
            NotificationConfiguration=NotificationConfiguration(
                EventBridgeConfiguration=EventBridgeConfiguration(EventBridgeEnabled=True)
            ),
            OwnershipControls=OwnershipControls(Rules=[OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]),
            PublicAccessBlockConfiguration=PublicAccessBlockConfiguration(
                BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
            ),
            VersioningConfiguration=VersioningConfiguration(Status="Enabled"),
        )
    )


def add_bucket_policy(t: Template, title: str, *, bucket: Bucket, statements: Sequence[Statement] = ()) -> BucketPolicy:
    """Add a policy that refuses requests without TLS and allows what `statements` say."""
    return t.add_resource(
        BucketPolicy(
            title,
            Bucket=Ref(bucket),
            PolicyDocument={"Version": POLICY_VERSION, "Statement": [_refuse_plain_http(bucket), *statements]},
        )
    )


def objects(bucket: Bucket, prefix: str = "") -> Join:
    """Return the ARN pattern of the bucket's objects below `prefix`."""
    return Join("", [bucket.get_att("Arn"), f"/{prefix}*"])


def _refuse_plain_http(bucket: Bucket) -> Statement:
    return {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [bucket.get_att("Arn"), objects(bucket)],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
