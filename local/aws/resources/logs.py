"""AWS::Logs resources: log groups, metric filters, and saved queries, which nothing here runs."""

from __future__ import annotations

import uuid

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, tag_map, without


def _create_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = {"LogGroupName": name, **without(properties, "RetentionInDays", "Tags")}
    cloud.call("logs", "create_log_group", plain, tags=tag_map(properties) or None)
    _set_retention(cloud, plain["LogGroupName"], properties)
    found = cloud.client("logs").describe_log_groups(logGroupNamePrefix=plain["LogGroupName"])["logGroups"]
    group = next(group for group in found if group["logGroupName"] == plain["LogGroupName"])
    return PhysicalResource(id=group["logGroupName"], attributes={"Arn": group["arn"]})


def _set_retention(cloud: Cloud, group: str, properties: Properties) -> None:
    if "RetentionInDays" in properties:
        days = {"RetentionInDays": properties["RetentionInDays"]}
        cloud.call("logs", "put_retention_policy", days, logGroupName=group)


def _update_group(cloud: Cloud, change: Change) -> PhysicalResource:
    _set_retention(cloud, change.physical.id, change.new)
    if "RetentionInDays" not in change.new and "RetentionInDays" in change.old:
        cloud.client("logs").delete_retention_policy(logGroupName=change.physical.id)
    return change.physical


def _put_filter(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"FilterName": name, **properties}
    cloud.call("logs", "put_metric_filter", request)
    return PhysicalResource(id=request["FilterName"], attributes={"_group": properties["LogGroupName"]})


def _save_query(_cloud: Cloud, _name: str, _properties: Properties) -> PhysicalResource:
    """Save nothing: the schema has checked the properties, and the API has no queries."""
    number = str(uuid.uuid4())
    return PhysicalResource(id=number, attributes={"QueryDefinitionId": number})


KINDS = (
    Kind(
        type="AWS::Logs::QueryDefinition",
        create=_save_query,
        update=lambda _cloud, change: change.physical,
        delete=lambda _cloud, _physical: None,
    ),
    Kind(
        type="AWS::Logs::LogGroup",
        create=_create_group,
        update=_update_group,
        unchangeable=frozenset(("KmsKeyId", "LogGroupClass", "Tags")),
        delete=deleted_by("logs", "delete_log_group", "logGroupName"),
    ),
    Kind(
        type="AWS::Logs::MetricFilter",
        create=_put_filter,
        update=lambda cloud, change: _put_filter(cloud, change.physical.id, change.new),
        delete=lambda cloud, physical: cloud.client("logs").delete_metric_filter(
            logGroupName=physical.attributes["_group"], filterName=physical.id
        ),
    ),
)
