"""The sleeper: a function that stops and starts the whole environment, on command and by schedule."""

from collections.abc import Sequence
from typing import Any

from troposphere import Equals, Not, Ref, Sub, Template
from troposphere.awslambda import Permission
from troposphere.events import Rule, Target
from troposphere.serverless import Function

from fleet import access
from fleet.pools import POOLS
from stack.lib.iam import Statement, allow, list_in, name_beginning, services_of, tasks_of
from stack.lib.lambda_function import Code, FunctionContext, add_function, every_minute
from stack.lib.optional import if_added
from stack.lib.parameters import Between, FormGroup, Matching, add_condition
from stack.sections.airflow import Airflow
from stack.sections.broker import sign_in
from stack.sections.flower import Flower
from stack.sections.foundation import Foundation
from stack.sections.pools import SizedPool, compact_pools_json
from stack.sections.workers import Workers

GROUP = "Sleep"
ASLEEP, AWAKE = "asleep", "awake"  # shared.tags defines them; it cannot be imported here, a test compares
# CloudFormation builds the alarms' names from the stack's name and their logical ids.
ALARM_PREFIX = "${AWS::StackName}-Alarm"
SLEEPERS_AT_ONCE = 2  # a command may arrive while the tick of the minute runs


def add_sleeper(
    t: Template,
    *,
    base: Foundation,
    context: FunctionContext,
    airflow: Airflow,
    workers: Workers,
    flower: Flower,
    pools: Sequence[SizedPool],
) -> None:
    patience = FormGroup(t, GROUP).add(
        "SleepPatienceMinutes",
        label="Maximum wait for sleep in minutes",
        description="Minutes to wait while the environment is too busy to fall asleep; after them it stays awake.",
        constraint=Between(low=1, high=1440),
        default=60,
    )
    services = [airflow.service, *workers.services.values(), flower.service]
    function = add_function(
        t,
        "Sleeper",
        context=context,
        code=Code(
            package="sleeper",
            environment={
                **sign_in(base.broker, access.SLEEPER),
                "AIRFLOW_SERVICE": Sub(name_beginning(airflow.service)),
                "FLOWER_SERVICE": if_added(flower.service, Sub(name_beginning(flower.service))),
                POOLS: compact_pools_json(pools, services=workers.services),
                "DATABASE": Ref(base.database.instance),
                "ALARM_PREFIX": Sub(ALARM_PREFIX),
                "PATIENCE_MINUTES": Ref(patience),
            },
            secrets=[base.broker.passwords[access.SLEEPER]],
            statements=[
                *_scale_services(services=services, cluster=base.cluster.ecs),
                *_suspend_scaling(),
                *_silence_alarms(),
                _stop_database(base.database.instance),
            ],
            events={"EveryMinute": every_minute("Brings the environment closer to its desired state")},
            concurrency=SLEEPERS_AT_ONCE,
            # If the schedule's event were lost, the environment would be awake all night, or asleep all day.
            failure_topic=base.topic,
        ),
    )
    _add_schedule(t, "Sleep", function=function, desired_state=ASLEEP, purpose="Puts the environment to sleep", hour=19)
    _add_schedule(t, "Wake", function=function, desired_state=AWAKE, purpose="Wakes the environment", hour=5)


def _add_schedule(t: Template, prefix: str, *, function: Function, desired_state: str, purpose: str, hour: int) -> None:
    """Add the schedule's parameter, with an example at `hour`, and the rule that invokes the function by it."""
    expression = FormGroup(t, GROUP).add(
        f"{prefix}Schedule",
        label=f"{prefix} schedule",
        description=f"{purpose} at these times in UTC: a cron expression of EventBridge, such as "
        f"cron(0 {hour} ? * MON-FRI *); empty for never.",
        constraint=Matching(regex=r"^(cron\([0-9A-Z*?,/# -]+\))?$", must_be="cron(...) with six fields, or empty"),
        default="",
    )
    has_schedule = add_condition(t, f"Has{prefix}Schedule", Not(Equals(Ref(expression), "")))
    rule = t.add_resource(
        Rule(
            f"{prefix}Rule",
            Condition=has_schedule,
            Description=f"{purpose}.",
            ScheduleExpression=Ref(expression),
            Targets=[Target(Arn=function.get_att("Arn"), Id="Sleeper", Input=f'{{"want":"{desired_state}"}}')],
        )
    )
    t.add_resource(
        Permission(
            f"{prefix}RulePermission",
            Condition=has_schedule,
            Action="lambda:InvokeFunction",
            FunctionName=Ref(function),
            Principal="events.amazonaws.com",
            SourceArn=rule.get_att("Arn"),
        )
    )


def _scale_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Allow setting the desired counts of the services, tagging them and their cluster, and reading who runs."""
    own = services_of(services, cluster=cluster)
    tagging = ("ecs:TagResource", "ecs:UntagResource")
    return [
        allow(actions=["ecs:DescribeServices", "ecs:UpdateService", *tagging], resources=own),
        allow(actions=["ecs:DescribeClusters", *tagging], resources=[cluster.get_att("Arn")]),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
        list_in(cluster, "ecs:ListServices"),
    ]


def _stop_database(instance: Any) -> Statement:
    """Allow stopping and starting the database, and reading its status."""
    actions = ("DescribeDBInstances", "StartDBInstance", "StopDBInstance")
    return allow(actions=[f"rds:{action}" for action in actions], resources=[instance.get_att("DBInstanceArn")])


def _suspend_scaling() -> list[Statement]:
    """Allow suspending and resuming the scaling of ECS services; the ARN of a target does not name its service."""
    of_ecs = {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}
    targets = "arn:${AWS::Partition}:application-autoscaling:${AWS::Region}:${AWS::AccountId}:scalable-target/*"
    return [
        # The API takes no resource.
        allow(actions=["application-autoscaling:DescribeScalableTargets"], resources=["*"]),
        allow(actions=["application-autoscaling:RegisterScalableTarget"], resources=[Sub(targets)], condition=of_ecs),
    ]


def _silence_alarms() -> list[Statement]:
    """Allow turning the actions of the stack's alarms off and on, and setting the alarms' state."""
    alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
    changes = ("DisableAlarmActions", "EnableAlarmActions", "SetAlarmState")
    return [
        # Listing cannot be limited to some alarms.
        allow(actions=["cloudwatch:DescribeAlarms"], resources=[Sub(f"{alarms}*")]),
        allow(actions=[f"cloudwatch:{change}" for change in changes], resources=[Sub(f"{alarms}{ALARM_PREFIX}*")]),
    ]
