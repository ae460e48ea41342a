"""AWS::CloudWatch resources: alarms, also composite ones, and dashboards."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Kind, PhysicalResource, Properties


def _put_alarm(cloud: Cloud, name: str, properties: Properties, *, call: str = "put_metric_alarm") -> PhysicalResource:
    request = {"AlarmName": name, **properties}
    cloud.call("cloudwatch", call, request)
    alarm = request["AlarmName"]
    arn = f"arn:{cloud.partition}:cloudwatch:{cloud.region}:{cloud.account}:alarm:{alarm}"
    return PhysicalResource(id=alarm, attributes={"Arn": arn})


def _put_dashboard(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"DashboardName": name, **properties}
    cloud.call("cloudwatch", "put_dashboard", request)
    return PhysicalResource(id=request["DashboardName"])


def _put_composite(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    return _put_alarm(cloud, name, properties, call="put_composite_alarm")


KINDS = (
    Kind(
        type="AWS::CloudWatch::CompositeAlarm",
        create=_put_composite,
        update=lambda cloud, change: _put_composite(cloud, change.physical.id, change.new),
        unchangeable=frozenset(("Tags",)),
        delete=lambda cloud, physical: cloud.client("cloudwatch").delete_alarms(AlarmNames=[physical.id]),
    ),
    Kind(
        type="AWS::CloudWatch::Alarm",
        create=_put_alarm,
        update=lambda cloud, change: _put_alarm(cloud, change.physical.id, change.new),
        unchangeable=frozenset(("Tags",)),
        delete=lambda cloud, physical: cloud.client("cloudwatch").delete_alarms(AlarmNames=[physical.id]),
    ),
    Kind(
        type="AWS::CloudWatch::Dashboard",
        create=_put_dashboard,
        update=lambda cloud, change: _put_dashboard(cloud, change.physical.id, change.new),
        delete=lambda cloud, physical: cloud.client("cloudwatch").delete_dashboards(DashboardNames=[physical.id]),
    ),
)
