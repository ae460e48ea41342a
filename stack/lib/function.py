"""One Lambda function of the stack, which lives in the network and logs to a group of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from troposphere import If, NoValue, Output, Ref, Template
from troposphere.awslambda import Environment, LoggingConfig, VPCConfig
from troposphere.iam import ManagedPolicy
from troposphere.serverless import DeadLetterQueue, EventInvokeConfiguration, Function
from troposphere.sns import Topic

from stack.lib.iam import LAMBDA, Statement, add_role, publish_to, read_secrets, write_log_group
from stack.lib.parameters import suppress
from stack.lib.security_groups import Group
from stack.sections.airflow import Foundation
from stack.sections.logs import add_log_group
from stack.sections.workers import METRICS_NAMESPACE

RUNTIME = "python3.12"
TIMEOUT_S = 75  # a minute of looks, and a last one that has to wait for Redis or ECS
MEMORY_MIB = 256
# A look that failed is not repeated, and one that waited too long is not made: the next minute looks anew.
ANOTHER_COMES = EventInvokeConfiguration(MaximumEventAgeInSeconds=60, MaximumRetryAttempts=0)
# An event of which there is only one is tried again, by Lambda one and two minutes later.
NO_OTHER_COMES = EventInvokeConfiguration(MaximumEventAgeInSeconds=900, MaximumRetryAttempts=2)


@dataclass(frozen=True, kw_only=True)
class Code:
    """`package`: the folder below functions/ whose module `handler` has the function `handler`.

    `concurrency`: invocations that may run at once, where that is reserved. `told_of_failures`: the topic that hears of
    events that were lost for good, where no other comes in a minute.
    """

    package: str
    environment: Mapping[str, Any]
    statements: Sequence[Statement]
    network_policy: ManagedPolicy
    events: Mapping[str, Any] = field(default_factory=dict)
    concurrency: If | type = NoValue
    told_of_failures: Topic | None = None


def add_function(t: Template, prefix: str, *, base: Foundation, group: Group, code: Code) -> Function:
    topic = code.told_of_failures
    log_group = add_log_group(t, f"{prefix}LogGroup", settings=base.settings)
    role = add_role(
        t,
        f"{prefix}Role",
        service=LAMBDA,
        statements=[
            *code.statements,
            *(publish_to(topic, key_arn=base.settings.key_arn) if topic else ()),
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
            EventInvokeConfig=NO_OTHER_COMES if topic else ANOTHER_COMES,
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
    if topic:
        function.DeadLetterQueue = DeadLetterQueue(Type="SNS", TargetArn=Ref(topic))
    else:
        suppress(function, checkov={"CKV_AWS_116": "What failed is not worth keeping: the next minute looks anew."})
    if code.events:
        function.Events = code.events
    t.add_output(Output(f"{title}Name", Description=f"Lambda function {title}.", Value=Ref(function)))
    return function
