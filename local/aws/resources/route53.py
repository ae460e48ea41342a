"""AWS::Route53::RecordSet: a record in a hosted zone of the account."""

from __future__ import annotations

from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, without


def _create(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    record = _record(properties)
    _change(cloud, properties["HostedZoneId"], "CREATE", record)
    return PhysicalResource(id=properties["Name"], attributes={"_zone": properties["HostedZoneId"], "_record": record})


def _update(cloud: Cloud, change: Change) -> PhysicalResource:
    record = _record(change.new)
    _change(cloud, change.new["HostedZoneId"], "UPSERT", record)
    return PhysicalResource(id=change.physical.id, attributes={**change.physical.attributes, "_record": record})


def _delete(cloud: Cloud, physical: PhysicalResource) -> None:
    _change(cloud, physical.attributes["_zone"], "DELETE", physical.attributes["_record"])


def _record(properties: Properties) -> dict[str, Any]:
    record = without(properties, "HostedZoneId", "Comment")
    if "AliasTarget" in record:
        record["AliasTarget"] = {"EvaluateTargetHealth": False, **record["AliasTarget"]}
    return record


def _change(cloud: Cloud, zone: str, action: str, record: dict[str, Any]) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    cloud.call("route53", "change_resource_record_sets", {"ChangeBatch": batch}, HostedZoneId=zone)


KINDS = (Kind(type="AWS::Route53::RecordSet", create=_create, update=_update, delete=_delete),)
