"""The Lambda functions: the autoscaler, the version check, the sleeper, and the one for retirement.

A deployment updates them before the services, so that a new release of the autoscaler leads its own deployment, and can
mend one that a broken autoscaler would hold up. So nothing of a function may refer to a service.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Ref, Sub, Template
from troposphere.ecs import Cluster, Service
from troposphere.serverless import EventBridgeRuleEvent, Function

from fleet import access
from fleet.pools import POOLS
from fleet.work import LIMITS
from stack.lib.iam import (
    add_network_policy,
    inspect_services,
    name_beginning,
    pass_to_tasks,
    publish_to,
    scale_services,
)
from stack.lib.lambda_function import Code, FunctionContext, add_function, every_minute
from stack.lib.parameters import YES_OR_NO, Between, FormGroup, add_condition, placeholder
from stack.lib.security_groups import add_aws_client_group, allow_traffic
from stack.sections.airflow import Airflow
from stack.sections.broker import sign_in
from stack.sections.flower import Flower
from stack.sections.foundation import Foundation
from stack.sections.pools import MAX_WORKERS, SizedPool, compact_pools_json
from stack.sections.retirement import add_retirement
from stack.sections.sleep import add_sleeper
from stack.sections.workers import Workers

GROUP = "Autoscaler"
# A tick that waits for Redis may last into the next minute. Several services may be deployed at once.
AUTOSCALERS_AT_ONCE = 2
VERSION_CHECKS_AT_ONCE = 5


@dataclass(frozen=True, kw_only=True)
class Functions:
    autoscaler: Function
    version_check: Function


def add_functions(
    t: Template,
    *,
    base: Foundation,
    airflow: Airflow,
    workers: Workers,
    flower: Flower,
    pools: Sequence[SizedPool],
) -> Functions:
    settings = {**_add_settings(t), **airflow.connections.rollout_patience}
    context = _add_context(t, base=base, airflow=airflow)
    services = {"airflow": airflow.service, **workers.services, "flower": flower.service}
    services_json = _services_json(services, flower=flower.service)
    functions = Functions(
        autoscaler=_add_autoscaler(t, base=base, context=context, settings=settings, workers=workers, pools=pools),
        version_check=_add_version_check(
            t, base=base, context=context, airflow=airflow, services=services, services_json=services_json
        ),
    )
    add_sleeper(t, base=base, context=context, airflow=airflow, workers=workers, flower=flower, pools=pools)
    add_retirement(t, base=base, context=context, services=services, services_json=services_json)
    _keep_permissions_longest(t, context)
    _lead(t, list(services.values()))
    return functions


def _lead(t: Template, services: Sequence[Service]) -> None:
    """Let CloudFormation create and update the functions before the services, and delete them after those."""
    functions = [title for title, each in t.resources.items() if isinstance(each, Function)]
    for service in services:
        service.DependsOn = [*getattr(service, "DependsOn", []), *functions]


def _keep_permissions_longest(t: Template, context: FunctionContext) -> None:
    """Let the functions' group outlive them, and their roles outlive the group.

    Lambda deletes a function's network interfaces some minutes after the function, with its role. Until then the group
    cannot be deleted; if the role were gone, it could never be.
    """
    functions = (each for each in t.resources.values() if isinstance(each, Function))
    context.group.resource.DependsOn = [function.Role.data["Fn::GetAtt"][0] for function in functions]


def _add_settings(t: Template) -> Mapping[str, Any]:
    """Add the autoscaler's parameters and return its environment variables."""
    form = FormGroup(t, GROUP)
    poll_seconds = form.add(
        "PollSeconds",
        label="Seconds between ticks",
        description="Seconds between two ticks of the autoscaler.",
        constraint=Between(low=5, high=60),
        default=5,
    )
    scale_in_after = form.add(
        "ScaleInAfterSeconds",
        label="Seconds before scale-in",
        description="Seconds for which a pool must have had surplus workers before they are drained.",
        constraint=Between(low=0, high=3600),
        default=0,
    )
    max_step_out = form.add(
        "MaxStepOut",
        label="Maximum workers added at once",
        description="Workers that one tick of the autoscaler may add to a pool; the default sets no limit of its own.",
        constraint=Between(low=1, high=MAX_WORKERS),
        default=MAX_WORKERS,
    )
    raced_boots = form.add(
        "RacedBootsPercent",
        label="Workers launched per hundred waiting tasks",
        description="Workers launched at once per hundred tasks without a slot, if that is more than are needed. The "
        "first to boot take the tasks; the other boots are cancelled. 0 launches no more than are needed.",
        constraint=Between(low=0, high=100),
        default=0,
    )
    racing_budget = form.add(
        "RacingBudgetPercent",
        label="Budget of workers launched beyond the need",
        description="What the workers may cost that RacedBootsPercent launches beyond the need, in percent of what the "
        "pool's workers have cost lately. Once it is spent, no more are launched than are needed.",
        constraint=Between(low=0, high=100),
        default=5,
    )
    max_age = form.add(
        "MaxWorkerAgeHours",
        label="Maximum age of a worker in hours",
        description="Hours after which a worker is replaced: it drains once another consumes in its place. AWS retires "
        "old tasks, whatever they run. Each worker's own limit is up to a quarter lower. 0 sets no limit.",
        constraint=Between(low=0, high=336),
        default=72,
    )
    return {
        "POLL_SECONDS": Ref(poll_seconds),
        "SCALE_IN_AFTER_S": Ref(scale_in_after),
        "MAX_STEP_OUT": Ref(max_step_out),
        "RACED_BOOTS_PERCENT": Ref(raced_boots),
        "RACING_BUDGET_PERCENT": Ref(racing_budget),
        "MAX_AGE_HOURS": Ref(max_age),
    }


def _add_context(t: Template, *, base: Foundation, airflow: Airflow) -> FunctionContext:
    reserve = FormGroup(t, GROUP).add(
        "ReserveConcurrency",
        label="Reserve concurrency",
        description="Whether the functions reserve concurrency of the account; a new account may have too little.",
        constraint=YES_OR_NO,
        default="false",
    )
    is_reserved = add_condition(t, "IsConcurrencyReserved", Equals(Ref(reserve), "true"))
    network_policy = add_network_policy(t, "FunctionsNetworkPolicy")
    group = add_aws_client_group(t, "FunctionsGroup", vpc=base.network.vpc, description="Functions")
    allow_traffic(t, source=group, target=base.broker.group, port=base.broker.port)
    allow_traffic(t, source=group, target=airflow.group, port=airflow.execution_port)
    return FunctionContext(
        settings=base.settings,
        subnets=base.network.private_subnets,
        group=group,
        network_policy=network_policy,
        environment={
            **base.broker.environment,
            "CLUSTER": Ref(base.cluster.ecs),
        },
        is_reserved=is_reserved,
    )


def _add_autoscaler(
    t: Template,
    *,
    base: Foundation,
    context: FunctionContext,
    settings: Mapping[str, Any],
    workers: Workers,
    pools: Sequence[SizedPool],
) -> Function:
    return add_function(
        t,
        "Autoscaler",
        context=context,
        code=Code(
            package="autoscaler",
            environment={
                **sign_in(base.broker, access.AUTOSCALER),
                POOLS: compact_pools_json(
                    pools,
                    services=workers.services,
                    definitions={name: defined.definition for name, defined in workers.defined.items()},
                ),
                "IMAGE_URI": base.settings.image_uri,
                **settings,
            },
            secrets=[base.broker.passwords[access.AUTOSCALER]],
            statements=[
                *scale_services(services=list(workers.services.values()), cluster=base.cluster.ecs),
                pass_to_tasks(roles=[r for d in workers.defined.values() for r in (d.role, d.execution_role)]),
            ],
            events={"EveryMinute": every_minute("Starts a minute of the autoscaler's ticks")},
            concurrency=AUTOSCALERS_AT_ONCE,
        ),
    )


def _add_version_check(
    t: Template,
    *,
    base: Foundation,
    context: FunctionContext,
    airflow: Airflow,
    services: Mapping[str, Service],
    services_json: If,
) -> Function:
    return add_function(
        t,
        "VersionCheck",
        context=context,
        code=Code(
            package="version_check",
            environment={
                **sign_in(base.broker, access.VERSION_CHECK),
                "SERVICES": services_json,
                "TOPIC_ARN": Ref(base.topic),
                "WEBSERVER_URL": airflow.version_url,
                "SITE_URL": airflow.connections.site_url,
                LIMITS: base.work_limits.text,
            },
            secrets=[base.broker.passwords[access.VERSION_CHECK]],
            statements=[
                *inspect_services(services=list(services.values()), cluster=base.cluster.ecs),
                *publish_to(base.topic, key_arn=base.settings.key_arn),
            ],
            events={
                "EveryMinute": every_minute("Compares the versions that run"),
                "Deployment": _deployment_in(base.cluster.ecs),
            },
            concurrency=VERSION_CHECKS_AT_ONCE,
        ),
    )


def _services_json(services: Mapping[str, Service], *, flower: Service) -> If:
    """Return how the names of the services begin, by role or pool, as JSON; without Flower where it is left out."""
    names = {role: name_beginning(service) for role, service in services.items()}
    others = {role: name for role, name in names.items() if services[role] is not flower}
    whole, less = (Sub(json.dumps(each, separators=(",", ":"))) for each in (names, others))
    return If(flower.Condition, whole, less)


def _deployment_in(cluster: Cluster) -> EventBridgeRuleEvent:
    """Return the event of any deployment in the cluster, which is the stack's own: a pattern has a length limit."""
    arn = f"arn:${{AWS::Partition}}:ecs:${{AWS::Region}}:${{AWS::AccountId}}:service/{placeholder(cluster)}/"
    return EventBridgeRuleEvent(
        "Deployment",
        Pattern={
            "source": ["aws.ecs"],
            "detail-type": ["ECS Deployment State Change"],
            "resources": [{"prefix": Sub(arn)}],
        },
    )
