"""AWS::S3 resources: buckets and their policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, refuse_others

_RULE_MEMBERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "Id": lambda value: {"ID": value},
    "Status": lambda value: {"Status": value},
    "Prefix": lambda value: {"Filter": {"Prefix": value}},
    "ExpirationInDays": lambda value: {"Expiration": {"Days": int(value)}},
    "NoncurrentVersionExpiration": lambda value: {
        "NoncurrentVersionExpiration": {key: int(days) for key, days in value.items()}
    },
    "AbortIncompleteMultipartUpload": lambda value: {
        "AbortIncompleteMultipartUpload": {key: int(days) for key, days in value.items()}
    },
    "Transitions": lambda value: {
        "Transitions": [{"Days": int(t["TransitionInDays"]), "StorageClass": t["StorageClass"]} for t in value]
    },
}


def _lifecycle(value: Properties) -> dict[str, Any]:
    rules = []
    for written in value["Rules"]:
        rule: dict[str, Any] = {"Filter": {"Prefix": ""}}
        for key, item in written.items():
            if key not in _RULE_MEMBERS:
                raise UnsupportedProperty(f"property LifecycleConfiguration.Rules.{key} is not supported")
            rule.update(_RULE_MEMBERS[key](item))
        rules.append(rule)
    return {"LifecycleConfiguration": {"Rules": rules}}


def _encryption(value: Properties) -> dict[str, Any]:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _notification(value: Properties) -> dict[str, Any]:
    if unknown := sorted(set(value) - {"EventBridgeConfiguration"}):
        raise UnsupportedProperty(f"property NotificationConfiguration.{unknown[0]} is not supported")
    return {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}


def _logging(value: Properties) -> dict[str, Any]:
    target = {"TargetBucket": value["DestinationBucketName"], "TargetPrefix": value.get("LogFilePrefix", "")}
    return {"BucketLoggingStatus": {"LoggingEnabled": target}}


# property -> (operation, its request from the property's value)
_SETTINGS: Mapping[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "PublicAccessBlockConfiguration": (
        "put_public_access_block",
        lambda value: {"PublicAccessBlockConfiguration": value},
    ),
    "BucketEncryption": ("put_bucket_encryption", _encryption),
    "VersioningConfiguration": ("put_bucket_versioning", lambda value: {"VersioningConfiguration": value}),
    "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", _lifecycle),
    "OwnershipControls": ("put_bucket_ownership_controls", lambda value: {"OwnershipControls": value}),
    "NotificationConfiguration": ("put_bucket_notification_configuration", _notification),
    "LoggingConfiguration": ("put_bucket_logging", _logging),
    "Tags": ("put_bucket_tagging", lambda value: {"Tagging": {"TagSet": value}}),
}


_AT_CREATION = frozenset(("BucketName", "ObjectLockEnabled"))


def _apply(cloud: Cloud, bucket: str, properties: Properties) -> None:
    for name, (operation, request) in _SETTINGS.items():
        if name in properties:
            cloud.call("s3", operation, request(properties[name]), Bucket=bucket)


def _create_bucket(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    refuse_others(properties, _AT_CREATION.union(_SETTINGS))
    bucket = str(properties.get("BucketName", name)).lower()
    place = None if cloud.region == "us-east-1" else {"LocationConstraint": cloud.region}
    locks = {"ObjectLockEnabledForBucket": bool(properties.get("ObjectLockEnabled"))}
    cloud.call("s3", "create_bucket", locks, Bucket=bucket, CreateBucketConfiguration=place)
    _apply(cloud, bucket, properties)
    domain = f"{bucket}.s3.amazonaws.com"
    attributes = {
        "Arn": f"arn:{cloud.partition}:s3:::{bucket}",
        "DomainName": domain,
        "RegionalDomainName": f"{bucket}.s3.{cloud.region}.amazonaws.com",
    }
    return PhysicalResource(id=bucket, attributes=attributes)


def _update_bucket(cloud: Cloud, change: Change) -> PhysicalResource:
    refuse_others(change.new, _AT_CREATION.union(_SETTINGS))
    if gone := sorted(set(change.old) - set(change.new)):
        raise UnsupportedProperty(f"taking property {gone[0]} away from a bucket is not supported")
    _apply(cloud, change.physical.id, change.changed())
    return change.physical


def _put_policy(cloud: Cloud, properties: Properties) -> PhysicalResource:
    policy = json.dumps(properties["PolicyDocument"])
    cloud.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=policy)
    return PhysicalResource(id=str(properties["Bucket"]))


KINDS = (
    Kind(
        type="AWS::S3::Bucket",
        create=_create_bucket,
        update=_update_bucket,
        unchangeable=frozenset(("ObjectLockEnabled",)),
        delete=deleted_by("s3", "delete_bucket", "Bucket"),
    ),
    Kind(
        type="AWS::S3::BucketPolicy",
        create=lambda cloud, _name, properties: _put_policy(cloud, properties),
        update=lambda cloud, change: _put_policy(cloud, change.new),
        delete=deleted_by("s3", "delete_bucket_policy", "Bucket"),
    ),
)
