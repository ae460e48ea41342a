"""AWS::Scheduler resources: schedules can be read, but call nothing here."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by


def _create(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"Name": name, **properties}
    arn = cloud.call("scheduler", "create_schedule", request)["ScheduleArn"]
    return PhysicalResource(id=request["Name"], attributes={"Arn": arn})


def _update(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.call("scheduler", "update_schedule", change.new, Name=change.physical.id)
    return change.physical


KINDS = (
    Kind(
        type="AWS::Scheduler::Schedule",
        create=_create,
        update=_update,
        delete=deleted_by("scheduler", "delete_schedule", "Name"),
    ),
)
