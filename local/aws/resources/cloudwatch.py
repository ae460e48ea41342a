"""AWS::CloudWatch resources: alarms and dashboards."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Kind, Made, Properties


def _put_alarm(cloud: Cloud, name: str, properties: Properties) -> Made:
    request = {"AlarmName": name, **properties}
    cloud.call("cloudwatch", "put_metric_alarm", request)
    alarm = request["AlarmName"]
    arn = f"arn:{cloud.partition}:cloudwatch:{cloud.region}:{cloud.account}:alarm:{alarm}"
    return Made(id=alarm, attributes={"Arn": arn})


def _put_dashboard(cloud: Cloud, name: str, properties: Properties) -> Made:
    request = {"DashboardName": name, **properties}
    cloud.call("cloudwatch", "put_dashboard", request)
    return Made(id=request["DashboardName"])


KINDS = (
    Kind(
        type="AWS::CloudWatch::Alarm",
        create=_put_alarm,
        update=lambda cloud, change: _put_alarm(cloud, change.made.id, change.new),
        replaced_by=frozenset(("AlarmName", "Tags")),
        delete=lambda cloud, made: cloud.client("cloudwatch").delete_alarms(AlarmNames=[made.id]),
    ),
    Kind(
        type="AWS::CloudWatch::Dashboard",
        create=_put_dashboard,
        update=lambda cloud, change: _put_dashboard(cloud, change.made.id, change.new),
        replaced_by=frozenset(("DashboardName",)),
        delete=lambda cloud, made: cloud.client("cloudwatch").delete_dashboards(DashboardNames=[made.id]),
    ),
)
