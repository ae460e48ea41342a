"""AWS::Events::Rule: schedules and event patterns with their targets."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, without


def _put(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"Name": name, **without(properties, "Targets")}
    arn = cloud.call("events", "put_rule", request)["RuleArn"]
    bus = {key: properties[key] for key in ("EventBusName",) if key in properties}
    if targets := properties.get("Targets"):
        cloud.call("events", "put_targets", {"Rule": request["Name"], "Targets": targets, **bus})
    return PhysicalResource(id=request["Name"], attributes={"Arn": arn, "_bus": bus})


def _update(cloud: Cloud, change: Change) -> PhysicalResource:
    old, new = ({target["Id"] for target in side.get("Targets", [])} for side in (change.old, change.new))
    if gone := old - new:
        cloud.client("events").remove_targets(Rule=change.physical.id, Ids=sorted(gone))
    return _put(cloud, change.physical.id, change.new)


def _delete(cloud: Cloud, physical: PhysicalResource) -> None:
    events, bus = cloud.client("events"), physical.attributes["_bus"]
    targets = events.list_targets_by_rule(Rule=physical.id, **bus)["Targets"]
    if targets:
        events.remove_targets(Rule=physical.id, Ids=[target["Id"] for target in targets], **bus)
    events.delete_rule(Name=physical.id, **bus)


KINDS = (
    Kind(
        type="AWS::Events::Rule",
        create=_put,
        update=_update,
        replaced_by=frozenset(("EventBusName",)),
        delete=_delete,
    ),
)
