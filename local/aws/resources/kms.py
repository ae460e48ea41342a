"""AWS::KMS resources: keys and their aliases."""

from __future__ import annotations

import json

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, refuse_others

_KNOWN = frozenset(("Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"))
_LEAST_WINDOW_DAYS = 7


def _create_key(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    refuse_others(properties, _KNOWN)
    kms = cloud.client("kms")
    tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])]
    request = {"Policy": json.dumps(properties["KeyPolicy"]), "Description": properties.get("Description", "")}
    key = kms.create_key(**request, Tags=tags)["KeyMetadata"]
    if properties.get("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=key["KeyId"])
    return PhysicalResource(id=key["KeyId"], attributes={"Arn": key["Arn"], "KeyId": key["KeyId"]})


def _update_key(cloud: Cloud, change: Change) -> PhysicalResource:
    kms = cloud.client("kms")
    kms.put_key_policy(KeyId=change.physical.id, PolicyName="default", Policy=json.dumps(change.new["KeyPolicy"]))
    kms.update_key_description(KeyId=change.physical.id, Description=change.new.get("Description", ""))
    rotate = kms.enable_key_rotation if change.new.get("EnableKeyRotation") else kms.disable_key_rotation
    rotate(KeyId=change.physical.id)
    return change.physical


def _create_alias(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    cloud.call("kms", "create_alias", {"AliasName": properties["AliasName"], "TargetKeyId": properties["TargetKeyId"]})
    return PhysicalResource(id=str(properties["AliasName"]))


def _update_alias(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.client("kms").update_alias(AliasName=change.physical.id, TargetKeyId=change.new["TargetKeyId"])
    return change.physical


KINDS = (
    Kind(
        type="AWS::KMS::Key",
        create=_create_key,
        update=_update_key,
        unchangeable=frozenset(("Tags",)),
        delete=deleted_by("kms", "schedule_key_deletion", "KeyId", PendingWindowInDays=_LEAST_WINDOW_DAYS),
    ),
    Kind(
        type="AWS::KMS::Alias",
        create=_create_alias,
        update=_update_alias,
        delete=deleted_by("kms", "delete_alias", "AliasName"),
    ),
)
