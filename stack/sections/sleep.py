"""The sleeper: a function that stops and starts the whole environment, by command and by schedule."""

from collections.abc import Sequence

from troposphere import Equals, If, Not, Parameter, Ref, Sub, Template
from troposphere.awslambda import Permission
from troposphere.events import Rule, Target
from troposphere.iam import ManagedPolicy
from troposphere.serverless import Function, ScheduleEvent

from stack.lib.function import Code, add_function
from stack.lib.parameters import Between, Matching, add_condition, add_parameter
from stack.lib.security_groups import Group
from stack.sections.airflow import Airflow, Foundation
from stack.sections.flower import Flower
from stack.sections.pools import SizedPool, pools_json
from stack.sections.sleep_rights import rest_services, silence_alarms, stop_database, suspend_scaling
from stack.sections.workers import Workers

GROUP = "Sleep"
EVERY_MINUTE = "rate(1 minute)"
ASLEEP, AWAKE = "asleep", "awake"  # as shared.tags spells them, which is not importable here; a test compares
# CloudFormation names the alarms by the stack and their logical ids.
ALARM_PREFIX = "${AWS::StackName}-Alarm"


def add_sleeper(
    t: Template,
    *,
    base: Foundation,
    airflow: Airflow,
    workers: Workers,
    flower: Flower,
    pools: Sequence[SizedPool],
    group: Group,
    network_policy: ManagedPolicy,
    concurrency: If,
) -> Function:
    patience = add_parameter(
        t,
        "SleepPatienceMinutes",
        group=GROUP,
        label="Patience in minutes",
        description="Minutes for which the environment may be too busy to fall asleep; then it stays awake.",
        constraint=Between(low=1, high=1440),
        default=60,
    )
    cluster = base.cluster.ecs
    services = [airflow.service, *workers.services.values(), flower.service]
    function = add_function(
        t,
        "Sleeper",
        base=base,
        group=group,
        code=Code(
            package="sleeper",
            environment={
                **base.broker.environment,
                "BROKER_SECRET_ARN": Ref(base.broker.secret),
                "CLUSTER": Ref(cluster),
                "AIRFLOW_SERVICE": airflow.service.get_att("Name"),
                "FLOWER_SERVICE": flower.service.get_att("Name"),
                "POOLS": pools_json(pools, services=workers.services),
                "DATABASE": Ref(base.database.instance),
                "ALARM_PREFIX": Sub(ALARM_PREFIX),
                "PATIENCE_MINUTES": Ref(patience),
            },
            statements=[
                *rest_services(services=services, cluster=cluster),
                *suspend_scaling(),
                *silence_alarms(ALARM_PREFIX),
                stop_database(base.database.instance),
            ],
            events={
                "EveryMinute": ScheduleEvent(
                    "EveryMinute", Description="Goes on with what is wanted of the environment", Schedule=EVERY_MINUTE
                )
            },
            network_policy=network_policy,
            concurrency=concurrency,
            # Lost, the schedule's word would let the environment be awake all night, or asleep all day.
            told_of_failures=base.topic,
        ),
    )
    _add_schedule(t, "Sleep", function=function, wanted=ASLEEP, says="When the environment is put to sleep")
    _add_schedule(t, "Wake", function=function, wanted=AWAKE, says="When the environment is woken")
    return function


def _add_schedule(t: Template, prefix: str, *, function: Function, wanted: str, says: str) -> None:
    expression: Parameter = add_parameter(
        t,
        f"{prefix}Schedule",
        group=GROUP,
        label=f"{prefix} at",
        description=f"{says}, in UTC: an expression of EventBridge, such as cron(0 19 ? * MON-FRI *); empty for never.",
        constraint=Matching(regex=r"^(cron\([0-9A-Z*?,/# -]+\))?$", says="cron(...) with six fields, or empty"),
        default="",
    )
    has_schedule = add_condition(t, f"Has{prefix}Schedule", Not(Equals(Ref(expression), "")))
    rule = t.add_resource(
        Rule(
            f"{prefix}Rule",
            Condition=has_schedule,
            Description=f"{says}.",
            ScheduleExpression=Ref(expression),
            Targets=[Target(Arn=function.get_att("Arn"), Id="Sleeper", Input=f'{{"want":"{wanted}"}}')],
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
