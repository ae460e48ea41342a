"""The two Lambda functions: one sizes the worker pools, the other compares the versions that run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, NoValue, Output, Ref, Sub, Template
from troposphere.awslambda import Environment, LoggingConfig, VPCConfig
from troposphere.ecs import Service
from troposphere.iam import ManagedPolicy
from troposphere.serverless import (
    EventBridgeRuleEvent,
    EventInvokeConfiguration,
    Function,
    ScheduleEvent,
)

from stack.airflow import Airflow, Foundation
from stack.declare import YES_OR_NO, Between, add_condition, add_parameter, hole, suppress
from stack.flower import Flower
from stack.iam import (
    LAMBDA,
    Statement,
    add_network_policy,
    add_role,
    inspect_services,
    read_secrets,
    scale_services,
    write_log_group,
)
from stack.logs import add_log_group
from stack.paths import Group, add_api_client_group, add_path
from stack.pools import MOST_WORKERS, SizedPool, pools_json
from stack.workers import METRICS_NAMESPACE, Workers

GROUP = "Autoscaler"
RUNTIME = "python3.12"
EVERY_MINUTE = "rate(1 minute)"
TIMEOUT_S = 75  # a minute of looks, and a last one that has to wait for Redis or ECS
MEMORY_MIB = 256
# A look that waits for Redis may last into the next minute. Deployments of several services come at once.
AUTOSCALERS_AT_ONCE = 2
VERSION_CHECKS_AT_ONCE = 5
# As autoscaler.report names them, which is not importable here; a test compares.
CLUSTER_DIMENSION = "cluster"
POOL_DIMENSION = "pool"
UNCONSUMED_QUEUES = "UnconsumedQueues"
SCHEDULERS = "Schedulers"
OLDEST_WAIT = "OldestWait"
DESIRED = "Desired"


@dataclass(frozen=True, kw_only=True)
class Functions:
    autoscaler: Function
    version_check: Function


@dataclass(frozen=True, kw_only=True)
class _Code:
    """`concurrency`: invocations that may run at once, where that is reserved."""

    package: str
    environment: Mapping[str, Any]
    statements: Sequence[Statement]
    events: Mapping[str, Any]
    network_policy: ManagedPolicy
    concurrency: If


def add_functions(
    t: Template,
    *,
    base: Foundation,
    airflow: Airflow,
    workers: Workers,
    flower: Flower,
    pools: Sequence[SizedPool],
) -> Functions:
    poll_seconds = add_parameter(
        t,
        "PollSeconds",
        group=GROUP,
        label="Seconds between looks",
        description="Seconds between two looks of the autoscaler at the backlog.",
        constraint=Between(low=5, high=60),
        default=15,
    )
    scale_in_after = add_parameter(
        t,
        "ScaleInAfterSeconds",
        group=GROUP,
        label="Seconds before scale-in",
        description="Seconds for which workers must have been too many before the least busy ones are drained.",
        constraint=Between(low=0, high=3600),
        default=60,
    )
    max_step_out = add_parameter(
        t,
        "MaxStepOut",
        group=GROUP,
        label="Most workers added at once",
        description="Workers that one look of the autoscaler may add to a pool; the default sets no limit of its own.",
        constraint=Between(low=1, high=MOST_WORKERS),
        default=MOST_WORKERS,
    )
    is_reserved = _add_reservation(t)
    network_policy = add_network_policy(t, "FunctionsNetworkPolicy")
    services = {"airflow": airflow.service, **workers.services, "flower": flower.service}
    group = add_api_client_group(t, "FunctionsGroup", network=base.network, description="Functions")
    add_path(t, source=group, target=base.broker.group, port=base.broker.port)
    common = {
        **base.broker.environment,
        "BROKER_SECRET_ARN": Ref(base.broker.secret),
        "CLUSTER": Ref(base.cluster.ecs),
        "POOLS": pools_json(pools, services=workers.services),
    }
    autoscaler = _add_function(
        t,
        "Autoscaler",
        base=base,
        group=group,
        code=_Code(
            package="autoscaler",
            environment={
                **common,
                "POLL_SECONDS": Ref(poll_seconds),
                "SCALE_IN_AFTER_S": Ref(scale_in_after),
                "MAX_STEP_OUT": Ref(max_step_out),
            },
            statements=scale_services(services=list(workers.services.values()), cluster=base.cluster.ecs),
            events={"EveryMinute": _every_minute("Looks at the backlog, several times a minute")},
            network_policy=network_policy,
            concurrency=If(is_reserved, AUTOSCALERS_AT_ONCE, NoValue),
        ),
    )
    version_check = _add_function(
        t,
        "VersionCheck",
        base=base,
        group=group,
        code=_Code(
            package="version_check",
            environment={**common, "SERVICES": _services_json(services)},
            statements=inspect_services(services=list(services.values()), cluster=base.cluster.ecs),
            events={
                "EveryMinute": _every_minute("Compares the versions that run"),
                "Deployment": _deployment_of(list(services.values())),
            },
            network_policy=network_policy,
            concurrency=If(is_reserved, VERSION_CHECKS_AT_ONCE, NoValue),
        ),
    )
    return Functions(autoscaler=autoscaler, version_check=version_check)


def _add_reservation(t: Template) -> str:
    reserve = add_parameter(
        t,
        "ReserveConcurrency",
        group=GROUP,
        label="Reserve concurrency",
        description="Whether a share of the account's concurrency is set aside; a new account has too little.",
        constraint=YES_OR_NO,
        default="false",
    )
    return add_condition(t, "IsConcurrencyReserved", Equals(Ref(reserve), "true"))


def _services_json(services: Mapping[str, Service]) -> Sub:
    names = {role: hole(service, "Name") for role, service in services.items()}
    return Sub(json.dumps(names, separators=(",", ":")))


def _every_minute(description: str) -> ScheduleEvent:
    return ScheduleEvent("EveryMinute", Description=description, Schedule=EVERY_MINUTE)


def _deployment_of(services: Sequence[Service]) -> EventBridgeRuleEvent:
    return EventBridgeRuleEvent(
        "Deployment",
        Pattern={
            "source": ["aws.ecs"],
            "detail-type": ["ECS Deployment State Change"],
            "resources": [Ref(service) for service in services],
        },
    )


def _add_function(t: Template, prefix: str, *, base: Foundation, group: Group, code: _Code) -> Function:
    log_group = add_log_group(t, f"{prefix}LogGroup", settings=base.settings)
    role = add_role(
        t,
        f"{prefix}Role",
        service=LAMBDA,
        statements=[
            *code.statements,
            *read_secrets([Ref(base.broker.secret)], key_arn=base.settings.key_arn),
            write_log_group(log_group),
        ],
        boundary=base.settings.permissions_boundary,
        shared=[code.network_policy],
    )
    title = f"{prefix}Function"
    function = t.add_resource(
        Function(
            title,
            # make runs at the repository's root: a package also takes modules of the image.
            Metadata={"BuildMethod": "makefile", "WorkingDirectory": "."},
            Architectures=[base.settings.architecture],
            CodeUri="functions/",
            Environment=Environment(
                Variables={
                    **code.environment,
                    "POWERTOOLS_LOG_LEVEL": "INFO",
                    "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                    "POWERTOOLS_SERVICE_NAME": code.package,
                }
            ),
            # A look that failed is not repeated, and one that waited too long is not made: the next minute looks anew.
            EventInvokeConfig=EventInvokeConfiguration(MaximumEventAgeInSeconds=60, MaximumRetryAttempts=0),
            Events=code.events,
            KmsKeyArn=base.settings.key_arn,
            ReservedConcurrentExecutions=code.concurrency,
            Handler=f"{code.package}.handler.handler",
            LoggingConfig=LoggingConfig(LogGroup=Ref(log_group)),
            MemorySize=MEMORY_MIB,
            Role=role.get_att("Arn"),
            Runtime=RUNTIME,
            Timeout=TIMEOUT_S,
            VpcConfig=VPCConfig(SecurityGroupIds=[group.id], SubnetIds=base.network.private_subnets),
        )
    )
    suppress(function, checkov={"CKV_AWS_116": "What failed is not worth keeping: the next minute looks anew."})
    t.add_output(Output(f"{title}Name", Description=f"Lambda function {title}.", Value=Ref(function)))
    return function
