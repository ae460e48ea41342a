"""A Lambda function of the stack, which runs in the network and logs to its own group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from troposphere import If, NoValue, Output, Ref, Template
from troposphere.awslambda import Environment, LoggingConfig, VPCConfig
from troposphere.iam import ManagedPolicy
from troposphere.secretsmanager import Secret
from troposphere.serverless import DeadLetterQueue, EventInvokeConfiguration, Function, ScheduleEvent
from troposphere.sns import Topic

from stack.lib.alarms import METRICS_NAMESPACE
from stack.lib.iam import LAMBDA, Statement, add_role, publish_to, read_secrets, write_log_group
from stack.lib.logs import add_log_group
from stack.lib.parameters import suppress
from stack.lib.security_groups import Group
from stack.lib.settings import Settings

RUNTIME = "python3.12"
TIMEOUT_S = 75  # a minute of ticks, and a last tick that has to wait for Redis or ECS
MEMORY_MIB = 256
# A failed event is not retried, and one that waited too long is dropped: the next minute brings a new event.
NO_RETRY = EventInvokeConfiguration(MaximumEventAgeInSeconds=60, MaximumRetryAttempts=0)
# For an event that no later event replaces: Lambda retries it one and two minutes later.
TWO_RETRIES = EventInvokeConfiguration(MaximumEventAgeInSeconds=900, MaximumRetryAttempts=2)


@dataclass(frozen=True, kw_only=True)
class FunctionContext:
    """What all functions share: where they run, and their common environment variables.

    `is_reserved` is the condition under which they reserve a share of the account's concurrency.
    """

    settings: Settings
    subnets: If
    group: Group
    network_policy: ManagedPolicy
    environment: Mapping[str, Any]
    is_reserved: str


@dataclass(frozen=True, kw_only=True)
class Code:
    """`package`: the folder below functions/ whose module `handler` has the function `handler`.

    `concurrency`: invocations that may run at once, where concurrency is reserved.
    `failure_topic`: the topic for events that failed for good; for functions whose events no later event replaces.
    """

    package: str
    environment: Mapping[str, Any]
    statements: Sequence[Statement]
    secrets: Sequence[Secret]
    concurrency: int
    events: Mapping[str, Any] = field(default_factory=dict)
    failure_topic: Topic | None = None


def every_minute(description: str) -> ScheduleEvent:
    return ScheduleEvent("EveryMinute", Description=description, Schedule="rate(1 minute)")


def add_function(t: Template, prefix: str, *, context: FunctionContext, code: Code) -> Function:
    settings = context.settings
    topic = code.failure_topic
    log_group = add_log_group(t, f"{prefix}LogGroup", settings=settings)
    role = add_role(
        t,
        f"{prefix}Role",
        service=LAMBDA,
        statements=[
            *code.statements,
            *(publish_to(topic, key_arn=settings.key_arn) if topic else ()),
            *(read_secrets([Ref(s) for s in code.secrets], key_arn=settings.key_arn) if code.secrets else ()),
            write_log_group(log_group),
        ],
        boundary=settings.permissions_boundary,
        shared=[context.network_policy],
    )
    title = f"{prefix}Function"
    function = t.add_resource(
        Function(
            title,
            # make runs at the repository's root, because a package also takes modules of the image.
            Metadata={"BuildMethod": "makefile", "WorkingDirectory": "."},
            Architectures=[settings.architecture],
            CodeUri="functions/",
            Environment=Environment(
                Variables={
                    **context.environment,
                    **code.environment,
                    "POWERTOOLS_LOG_LEVEL": "INFO",
                    "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                    "POWERTOOLS_SERVICE_NAME": code.package,
                }
            ),
            EventInvokeConfig=TWO_RETRIES if topic else NO_RETRY,
            KmsKeyArn=settings.key_arn,
            ReservedConcurrentExecutions=If(context.is_reserved, code.concurrency, NoValue),
            Handler=f"{code.package}.handler.handler",
            LoggingConfig=LoggingConfig(LogGroup=Ref(log_group)),
            MemorySize=MEMORY_MIB,
            Role=role.get_att("Arn"),
            Runtime=RUNTIME,
            Timeout=TIMEOUT_S,
            VpcConfig=VPCConfig(SecurityGroupIds=[context.group.id], SubnetIds=context.subnets),
        )
    )
    if topic:
        function.DeadLetterQueue = DeadLetterQueue(Type="SNS", TargetArn=Ref(topic))
    else:
        suppress(
            function, checkov={"CKV_AWS_116": "A failed event is not worth keeping: the next minute brings a new one."}
        )
    if code.events:
        function.Events = code.events
    t.add_output(Output(f"{title}Name", Description=f"Lambda function {title}.", Value=Ref(function)))
    return function
