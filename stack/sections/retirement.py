"""The function that replaces ECS tasks before AWS retires them, and the rule that tells it of AWS's notices."""

from collections.abc import Mapping
from typing import Any

from troposphere import Template
from troposphere.ecs import Service
from troposphere.serverless import EventBridgeRuleEvent, ScheduleEvent

from stack.lib.iam import Statement, allow, inspect_services, services_of
from stack.lib.lambda_function import Code, FunctionContext, add_function
from stack.sections.foundation import Foundation

# The kind of AWS Health's event, which names ECS services and tasks.
NOTICE = "AWS_ECS_TASK_PATCHING_RETIREMENT"
AT_ONCE = 2  # a notice may come while the hour's invocation runs


def add_retirement(
    t: Template, *, base: Foundation, context: FunctionContext, services: Mapping[str, Service], services_json: Any
) -> None:
    """Add the function. `services`: all, by role or pool; those of `airflow` and `flower` it deploys anew."""
    add_function(
        t,
        "Retirement",
        context=context,
        code=Code(
            package="retirement",
            environment={"SERVICES": services_json},
            secrets=[],
            statements=_statements(services, cluster=base.cluster.ecs),
            events={
                "Notice": EventBridgeRuleEvent(
                    "Notice",
                    Pattern={
                        "source": ["aws.health"],
                        "detail-type": ["AWS Health Event"],
                        "detail": {"service": ["ECS"], "eventTypeCode": [NOTICE]},
                    },
                ),
                # A service that was rolling out when the notice came is looked at again.
                "EveryHour": ScheduleEvent(
                    "EveryHour",
                    Description="Replaces tasks of airflow and flower that AWS retires",
                    Schedule="rate(1 hour)",
                ),
            },
            concurrency=AT_ONCE,
            # A notice comes once. If its event were lost, AWS would stop workers with their tasks.
            failure_topic=base.topic,
        ),
    )


def _statements(services: Mapping[str, Service], *, cluster: Any) -> list[Statement]:
    every = services_of(list(services.values()), cluster=cluster)
    replaced = services_of([services[role] for role in ("airflow", "flower")], cluster=cluster)
    return [
        *inspect_services(services=list(services.values()), cluster=cluster),
        allow(actions=["ecs:TagResource"], resources=every),
        allow(actions=["ecs:UpdateService"], resources=replaced),
    ]
