"""The sleeper: a function that stops and starts the whole environment, by command and by schedule."""

from collections.abc import Sequence
from typing import Any

from troposphere import Equals, Not, Parameter, Ref, Sub, Template
from troposphere.awslambda import Permission
from troposphere.events import Rule, Target
from troposphere.serverless import Function, ScheduleEvent

from fleet.pools import POOLS
from stack.lib.iam import Statement, allow
from stack.lib.lambda_function import Code, FunctionContext, add_function
from stack.lib.parameters import Between, Matching, add_condition, add_parameter
from stack.sections.airflow import Airflow
from stack.sections.flower import Flower
from stack.sections.foundation import Foundation
from stack.sections.pools import SizedPool, pools_json
from stack.sections.workers import Workers

GROUP = "Sleep"
EVERY_MINUTE = "rate(1 minute)"
ASLEEP, AWAKE = "asleep", "awake"  # as context.tags spells them, which is not importable here; a test compares
# CloudFormation names the alarms by the stack and their logical ids.
ALARM_PREFIX = "${AWS::StackName}-Alarm"
SLEEPERS_AT_ONCE = 2  # a command while the minute's look goes on


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
    patience = add_parameter(
        t,
        "SleepPatienceMinutes",
        group=GROUP,
        label="Patience in minutes",
        description="Minutes for which the environment may be too busy to fall asleep; then it stays awake.",
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
                "AIRFLOW_SERVICE": airflow.service.get_att("Name"),
                "FLOWER_SERVICE": flower.service.get_att("Name"),
                POOLS: pools_json(pools, services=workers.services),
                "DATABASE": Ref(base.database.instance),
                "ALARM_PREFIX": Sub(ALARM_PREFIX),
                "PATIENCE_MINUTES": Ref(patience),
            },
            statements=[
                *_scale_services(services=services, cluster=base.cluster.ecs),
                *_suspend_scaling(),
                *_silence_alarms(),
                _stop_database(base.database.instance),
            ],
            events={
                "EveryMinute": ScheduleEvent(
                    "EveryMinute", Description="Goes on with what is wanted of the environment", Schedule=EVERY_MINUTE
                )
            },
            concurrency=SLEEPERS_AT_ONCE,
            # Lost, the schedule's word would let the environment be awake all night, or asleep all day.
            failure_topic=base.topic,
        ),
    )
    _add_schedule(t, "Sleep", function=function, desired_state=ASLEEP, purpose="When the environment is put to sleep")
    _add_schedule(t, "Wake", function=function, desired_state=AWAKE, purpose="When the environment is woken")


def _add_schedule(t: Template, prefix: str, *, function: Function, desired_state: str, purpose: str) -> None:
    expression: Parameter = add_parameter(
        t,
        f"{prefix}Schedule",
        group=GROUP,
        label=f"{prefix} at",
        description=f"{purpose}, in UTC: an expression of EventBridge, such as cron(0 19 ? * MON-FRI *); "
        "empty for never.",
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
    """Set how many tasks the services have; tag them, and their cluster."""
    own = [Ref(s) for s in services]
    tagging = ("ecs:TagResource", "ecs:UntagResource")
    return [
        allow(actions=["ecs:DescribeServices", "ecs:UpdateService", *tagging], resources=own),
        allow(actions=["ecs:DescribeClusters", *tagging], resources=[cluster.get_att("Arn")]),
    ]


def _stop_database(instance: Any) -> Statement:
    """Stop and start it, and see how far that is."""
    actions = ("DescribeDBInstances", "StartDBInstance", "StopDBInstance")
    return allow(actions=[f"rds:{action}" for action in actions], resources=[instance.get_att("DBInstanceArn")])


def _suspend_scaling() -> list[Statement]:
    """Suspend and resume the scaling of ECS services; which one, its ARN does not say."""
    of_ecs = {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}
    targets = "arn:${AWS::Partition}:application-autoscaling:${AWS::Region}:${AWS::AccountId}:scalable-target/*"
    return [
        # The API takes no resource.
        allow(actions=["application-autoscaling:DescribeScalableTargets"], resources=["*"]),
        allow(actions=["application-autoscaling:RegisterScalableTarget"], resources=[Sub(targets)], condition=of_ecs),
    ]


def _silence_alarms() -> list[Statement]:
    """Whether the stack's alarms tell anybody."""
    alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
    changes = ("DisableAlarmActions", "EnableAlarmActions", "SetAlarmState")
    return [
        # Listing is by all alarms or none.
        allow(actions=["cloudwatch:DescribeAlarms"], resources=[Sub(f"{alarms}*")]),
        allow(actions=[f"cloudwatch:{change}" for change in changes], resources=[Sub(f"{alarms}{ALARM_PREFIX}*")]),
    ]
