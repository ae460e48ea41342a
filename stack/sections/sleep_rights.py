"""What the sleeper may do in AWS."""

from collections.abc import Sequence
from typing import Any

from troposphere import Ref, Sub

from stack.lib.iam import Statement, allow


def rest_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Set how many tasks the services have; tag them, and their cluster."""
    own = [Ref(s) for s in services]
    tagging = ("ecs:TagResource", "ecs:UntagResource")
    return [
        allow(actions=["ecs:DescribeServices", "ecs:UpdateService", *tagging], resources=own),
        allow(actions=["ecs:DescribeClusters", *tagging], resources=[cluster.get_att("Arn")]),
    ]


def stop_database(instance: Any) -> Statement:
    """Stop and start it, and see how far that is."""
    actions = ("DescribeDBInstances", "StartDBInstance", "StopDBInstance")
    return allow(actions=[f"rds:{action}" for action in actions], resources=[instance.get_att("DBInstanceArn")])


def suspend_scaling() -> list[Statement]:
    """Suspend and resume the scaling of ECS services; which one, its ARN does not say."""
    of_ecs = {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}
    targets = "arn:${AWS::Partition}:application-autoscaling:${AWS::Region}:${AWS::AccountId}:scalable-target/*"
    return [
        # The API takes no resource.
        allow(actions=["application-autoscaling:DescribeScalableTargets"], resources=["*"]),
        allow(actions=["application-autoscaling:RegisterScalableTarget"], resources=[Sub(targets)], condition=of_ecs),
    ]


def silence_alarms(prefix: str) -> list[Statement]:
    """Whether alarms, whose names begin so, tell anybody; `prefix` is a text of Fn::Sub."""
    alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
    changes = ("DisableAlarmActions", "EnableAlarmActions", "SetAlarmState")
    return [
        # Listing is by all alarms or none.
        allow(actions=["cloudwatch:DescribeAlarms"], resources=[Sub(f"{alarms}*")]),
        allow(actions=[f"cloudwatch:{change}" for change in changes], resources=[Sub(f"{alarms}{prefix}*")]),
    ]
