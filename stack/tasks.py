"""Fargate task definitions whose roles allow just what their containers use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from troposphere import Ref, Region, Template
from troposphere.ecs import (
    ContainerDefinition,
    ContainerDependency,
    Environment,
    HealthCheck,
    LinuxParameters,
    LogConfiguration,
    PortMapping,
    RestartPolicy,
    RuntimePlatform,
    TaskDefinition,
)
from troposphere.ecs import Secret as ContainerSecret
from troposphere.logs import LogGroup

from stack.iam import TASKS, Statement, add_role, pull_image, read_secrets, write_log_group
from stack.logs import add_log_group
from stack.secrets import SecretValue
from stack.settings import Settings
from stack.sizes import Size

HEALTH_INTERVAL_S = 30
HEALTH_TIMEOUT_S = 10
HEALTH_RETRIES = 3
PROBE_TIMEOUT_S = 8  # below HEALTH_TIMEOUT_S, so that a slow answer is reported as such
# ECS's least. A restarted container keeps the secrets that its task was given: one that ends sooner, because a password
# was rotated or the image is broken, is not restarted again, and ECS replaces the task, which reads them anew.
RESTART_ATTEMPT_PERIOD_S = 60


@dataclass(frozen=True, kw_only=True)
class Health:
    """The container answers `path` on its own port with a 2xx or 3xx; failures do not count during `start_period_s`."""

    path: str
    start_period_s: int


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container; its role is its name and the image's command.

    `lives_on`: when it ends, ECS restarts it in its task rather than replace the task with all its other containers.
    """

    role: str
    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    listens_on: int | None = None
    is_reachable: bool = False
    health: Health | None = None
    runs_once: bool = False
    runs_after: tuple[str, ...] = ()
    stop_timeout_s: int | None = None
    lives_on: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task definition is made of; `statements` are what its code may do in AWS."""

    containers: tuple[Container, ...]
    size: Size
    statements: Sequence[Statement] = field(default=())


def add_task(t: Template, prefix: str, *, settings: Settings, task: Task) -> TaskDefinition:
    """Task definition, log group and roles, all named after `prefix`."""
    log_group = add_log_group(t, f"{prefix}LogGroup", settings=settings)
    execution = add_role(
        t,
        f"{prefix}ExecutionRole",
        service=TASKS,
        statements=[
            *pull_image(settings.repository_arn),
            write_log_group(log_group),
            read_secrets(_secret_arns(task.containers)),
        ],
    )
    definition = TaskDefinition(
        f"{prefix}TaskDefinition",
        ContainerDefinitions=[_container(c, settings=settings, log_group=log_group) for c in task.containers],
        Cpu=task.size.cpu,
        ExecutionRoleArn=execution.get_att("Arn"),
        Memory=task.size.memory_mib,
        NetworkMode="awsvpc",
        RequiresCompatibilities=["FARGATE"],
        RuntimePlatform=RuntimePlatform(CpuArchitecture=settings.cpu_architecture, OperatingSystemFamily="LINUX"),
    )
    if task.statements:
        role = add_role(t, f"{prefix}TaskRole", service=TASKS, statements=task.statements)
        definition.TaskRoleArn = role.get_att("Arn")
    return t.add_resource(definition)


def _secret_arns(containers: Sequence[Container]) -> list[Any]:
    """Each secret once, in the order of first use."""
    arns: list[Any] = []
    for secret in (secret for container in containers for secret in container.secrets.values()):
        if secret.arn not in arns:
            arns.append(secret.arn)
    return arns


def _container(container: Container, *, settings: Settings, log_group: LogGroup) -> ContainerDefinition:
    listens_on = container.listens_on
    environment = dict(container.environment) | {"AWS_DEFAULT_REGION": Region}
    if listens_on is not None:
        environment["PORT"] = str(listens_on)
    definition = ContainerDefinition(
        Name=container.role,
        Image=settings.image_uri,
        Command=[container.role],
        Essential=not container.runs_once,
        Environment=[Environment(Name=name, Value=environment[name]) for name in sorted(environment)],
        # An init process of its own forwards the stop signal to the one main process, and reaps orphans.
        LinuxParameters=LinuxParameters(InitProcessEnabled=True),
        LogConfiguration=LogConfiguration(
            LogDriver="awslogs",
            Options={
                "awslogs-group": Ref(log_group),
                "awslogs-region": Region,
                "awslogs-stream-prefix": container.role,
            },
        ),
        Secrets=[
            ContainerSecret(Name=name, ValueFrom=container.secrets[name].value_from)
            for name in sorted(container.secrets)
        ],
    )
    if container.runs_after:
        definition.DependsOn = [
            ContainerDependency(ContainerName=name, Condition="SUCCESS") for name in container.runs_after
        ]
    if container.health is not None:
        definition.HealthCheck = _health_check(container.health)
    if container.is_reachable:
        definition.PortMappings = [PortMapping(ContainerPort=listens_on)]
    if container.lives_on:
        definition.RestartPolicy = RestartPolicy(Enabled=True, RestartAttemptPeriod=RESTART_ATTEMPT_PERIOD_S)
    if container.stop_timeout_s is not None:
        definition.StopTimeout = container.stop_timeout_s
    return definition


def _health_check(health: Health) -> HealthCheck:
    url = f"http://localhost:$PORT{health.path}"
    probe = f"import urllib.request; urllib.request.urlopen('{url}', timeout={PROBE_TIMEOUT_S})"
    return HealthCheck(
        Command=["CMD-SHELL", f'python -c "{probe}"'],
        Interval=HEALTH_INTERVAL_S,
        Retries=HEALTH_RETRIES,
        StartPeriod=health.start_period_s,
        Timeout=HEALTH_TIMEOUT_S,
    )
