"""Fargate task definitions: roles allow only what the containers use, and root file systems are read-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from troposphere import Equals, If, Not, NoValue, Or, Parameter, Ref, Region, Sub, Template
from troposphere.ecs import (
    ContainerDefinition,
    ContainerDependency,
    Environment,
    EphemeralStorage,
    HealthCheck,
    LinuxParameters,
    LogConfiguration,
    MountPoint,
    PortMapping,
    RestartPolicy,
    RuntimePlatform,
    TaskDefinition,
    Volume,
)
from troposphere.ecs import Secret as ContainerSecret
from troposphere.iam import Role
from troposphere.logs import LogGroup

from stack.lib.iam import (
    TASKS,
    Statement,
    add_policy,
    add_role,
    pull_image,
    read_secrets,
    use_ecs_exec,
    write_log_group,
)
from stack.lib.logs import add_log_group
from stack.lib.parameters import FormGroup, OneOf, add_rule
from stack.lib.secrets import SecretValue
from stack.lib.settings import Settings

HEALTH_INTERVAL_S = 30
HEALTH_TIMEOUT_S = 10
# A database failover takes up to two minutes: containers that wait for it must not be replaced earlier.
HEALTH_RETRIES = 6
START_PERIOD_S = 180  # time for the schema's migration and Airflow's slow start
USER = "50000"  # the image's user, as a number so that ECS need not resolve a name
# The only paths that a container may write to. The image declares both as volumes, so that its user owns them.
WRITABLE = {"home": "/opt/airflow", "tmp": "/tmp"}  # noqa: S108
# A folder that some containers of an ECS task share.
SHARED_VOLUME, SHARED_PATH = "shared", "/opt/shared"
ENTRYPOINT = "/opt/airflow-on-ecs/entrypoint"
# ECS's minimum. If a container ends sooner, as with a broken image, ECS does not restart it: it replaces the ECS task.
RESTART_ATTEMPT_PERIOD_S = 60
# CPU units (1024 = one vCPU) -> memory sizes in MiB that Fargate offers with them: powers of two, and the largest.
MEMORY_MIB_BY_CPU = {
    "256": ("512", "1024", "2048"),
    "512": ("1024", "2048", "4096"),
    "1024": ("2048", "4096", "8192"),
    "2048": ("4096", "8192", "16384"),
    "4096": ("8192", "16384", "30720"),
    "8192": ("16384", "32768", "61440"),
    "16384": ("32768", "65536", "122880"),
}
MEMORY_MIB = tuple(sorted({mib for choices in MEMORY_MIB_BY_CPU.values() for mib in choices}, key=int))


@dataclass(frozen=True, kw_only=True)
class Health:
    """How patient a health check is: so many failures in a row, each of at most so many seconds, make ECS replace."""

    retries: int = HEALTH_RETRIES
    timeout_s: int = HEALTH_TIMEOUT_S


DEFAULT_HEALTH = Health()


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container; its role is its name and the image's command. `memory_mib` is its limit.

    `listens_on` is the port of its server, `public_port` the one for the load balancer; one server may have both.
    `is_restarted`: when it ends, ECS restarts it alone instead of replacing the ECS task with all its containers.
    `is_optional`: the other containers continue without it, even when ECS no longer restarts it.
    `health`: None for a container that ECS does not check.
    `starts_after`: containers that start before this one, and that ECS stops after it.
    `condition`: the name of the condition under which the task definition has the container; None for always.
    """

    role: str
    memory_mib: Any
    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    listens_on: int | None = None
    public_port: int | None = None
    runs_once: bool = False
    runs_after: tuple[str, ...] = ()
    starts_after: tuple[str, ...] = ()
    has_shared_folder: bool = False
    stop_timeout_s: int | None = None
    is_restarted: bool = False
    is_optional: bool = False
    condition: str | None = None
    health: Health | None = DEFAULT_HEALTH


@dataclass(frozen=True, kw_only=True)
class Size:
    cpu: Any
    memory_mib: Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task definition is made of; `statements` are what its code may do in AWS.

    `storage_gib`: size of its disk; None for Fargate's default of 20 GiB. `family`: its name, for a task definition
    whose earlier revisions are kept; the others get another family with each change, and the earlier one is deleted.
    `policy_arns`: the managed policies of an environment that its code's role has as well.
    """

    containers: tuple[Container, ...]
    size: Size
    statements: Sequence[Statement] = field(default=())
    storage_gib: Any = None
    family: Sub | None = None
    policy_arns: If | None = None


@dataclass(frozen=True, kw_only=True)
class DefinedTask:
    definition: TaskDefinition
    log_group: LogGroup
    role: Role
    execution_role: Role


def memory_choices(least_mib: int) -> tuple[str, ...]:
    """List Fargate's memory sizes in MiB from `least_mib` on."""
    return tuple(mib for mib in MEMORY_MIB if int(mib) >= least_mib)


def add_size(
    form: FormGroup, prefix: str, *, described_as: str, cpu: str, memory_mib: str, least_memory_mib: int = 0
) -> Size:
    """Add the parameters `<prefix>Cpu` and `<prefix>Memory`, and the rule that Fargate offers their combination.

    `least_memory_mib`: what the containers cannot run with less than. Raises ValueError for defaults that Fargate does
    not offer, or that are smaller.
    """
    memory = memory_choices(least_memory_mib)
    offered = [mib for mib in MEMORY_MIB_BY_CPU.get(cpu, ()) if mib in memory]
    if memory_mib not in offered:
        sizes = f"with {cpu} it offers {', '.join(offered)} MiB" if offered else f"{cpu} is none of its sizes"
        raise ValueError(f"{described_as} cannot have {cpu} CPU units and {memory_mib} MiB on Fargate: {sizes}")
    cpu_parameter = form.add(
        f"{prefix}Cpu",
        label="CPU units",
        description=f"CPU units of {described_as}; 1024 units are one vCPU.",
        constraint=OneOf(values=tuple(MEMORY_MIB_BY_CPU)),
        default=cpu,
    )
    memory_parameter = form.add(
        f"{prefix}Memory",
        label="Memory in MiB",
        description=f"Memory of {described_as} in MiB.",
        constraint=OneOf(values=memory),
        default=memory_mib,
    )
    add_rule(
        form.template,
        f"{prefix}SizeExists",
        assertions=[
            _fits(cpu_parameter, memory_parameter, units=units, choices=[mib for mib in choices if mib in memory])
            for units, choices in MEMORY_MIB_BY_CPU.items()
        ],
    )
    return Size(cpu=Ref(cpu_parameter), memory_mib=Ref(memory_parameter))


def _fits(cpu: Parameter, memory: Parameter, *, units: str, choices: list[str]) -> tuple[Any, str]:
    fits = Or(Not(Equals(Ref(cpu), units)), {"Fn::Contains": [choices, Ref(memory)]})
    return fits, f"With {cpu.title} {units}, {memory.title} must be one of {', '.join(choices)}."


def add_task(t: Template, prefix: str, *, settings: Settings, task: Task) -> DefinedTask:
    """Add a task definition with its log group and roles, all named after `prefix`."""
    log_group = add_log_group(t, f"{prefix}LogGroup", settings=settings)
    execution = add_role(
        t,
        f"{prefix}ExecutionRole",
        service=TASKS,
        statements=[
            *pull_image(settings.repository_arn),
            write_log_group(log_group),
            *read_secrets(_secret_arns(task.containers), key_arn=settings.key_arn),
        ],
        boundary=settings.permissions_boundary,
    )
    role = add_role(
        t, f"{prefix}TaskRole", service=TASKS, statements=task.statements, boundary=settings.permissions_boundary
    )
    if task.policy_arns is not None:
        role.ManagedPolicyArns = task.policy_arns
    add_policy(t, f"{prefix}ExecPolicy", role=role, statements=[use_ecs_exec()], condition=settings.has_exec)
    definition = TaskDefinition(
        f"{prefix}TaskDefinition",
        ContainerDefinitions=[_entry(c, settings=settings, log_group=log_group) for c in task.containers],
        Cpu=task.size.cpu,
        ExecutionRoleArn=execution.get_att("Arn"),
        Memory=task.size.memory_mib,
        NetworkMode="awsvpc",
        RequiresCompatibilities=["FARGATE"],
        RuntimePlatform=RuntimePlatform(CpuArchitecture=settings.cpu_architecture, OperatingSystemFamily="LINUX"),
        TaskRoleArn=role.get_att("Arn"),
        Volumes=_volumes(task.containers),
    )
    if task.storage_gib is not None:
        definition.EphemeralStorage = EphemeralStorage(SizeInGiB=task.storage_gib)
    if task.family is not None:
        definition.Family = task.family
        # The service may have an earlier revision for a while, or go back to it. One of an update that is rolled back
        # is deleted, so that the family's latest revision is the stack's own.
        definition.UpdateReplacePolicy, definition.DeletionPolicy = "Retain", "Delete"
    return DefinedTask(definition=t.add_resource(definition), log_group=log_group, role=role, execution_role=execution)


def _secret_arns(containers: Sequence[Container]) -> list[Any]:
    """List each secret once, in the order of first use."""
    arns: list[Any] = []
    for secret in (secret for container in containers for secret in container.secrets.values()):
        if (arn := secret.if_there(secret.arn)) not in arns:
            arns.append(arn)
    return arns


def _entry(container: Container, *, settings: Settings, log_group: LogGroup) -> ContainerDefinition | If:
    definition = _container(container, settings=settings, log_group=log_group)
    return definition if container.condition is None else If(container.condition, definition, NoValue)


def _container(container: Container, *, settings: Settings, log_group: LogGroup) -> ContainerDefinition:
    listens_on = container.listens_on
    environment = dict(container.environment) | {"AWS_DEFAULT_REGION": Region}
    if listens_on is not None:
        environment["PORT"] = str(listens_on)
    if container.has_shared_folder:
        environment["SHARED_FOLDER"] = SHARED_PATH
    if container.public_port not in (None, listens_on):
        environment["PUBLIC_PORT"] = str(container.public_port)
    definition = ContainerDefinition(
        Name=container.role,
        Image=settings.image_uri,
        Command=[container.role],
        Essential=not (container.runs_once or container.is_optional),
        Environment=[Environment(Name=name, Value=environment[name]) for name in sorted(environment)],
        # An init process forwards the stop signal to the main process only, and reaps orphans.
        LinuxParameters=LinuxParameters(InitProcessEnabled=True),
        LogConfiguration=LogConfiguration(
            LogDriver="awslogs",
            Options={
                "awslogs-group": Ref(log_group),
                "awslogs-region": Region,
                "awslogs-stream-prefix": container.role,
            },
        ),
        Memory=container.memory_mib,
        MountPoints=_mount_points(container),
        # The agent of ECS Exec runs in the container and writes to its file system.
        ReadonlyRootFilesystem=If(settings.has_exec, False, True),
        User=USER,
        Secrets=[
            _secret(name, secret, condition=container.condition) for name, secret in sorted(container.secrets.items())
        ],
    )
    if container.runs_after or container.starts_after:
        definition.DependsOn = [
            *(ContainerDependency(ContainerName=name, Condition="SUCCESS") for name in container.runs_after),
            *(ContainerDependency(ContainerName=name, Condition="START") for name in container.starts_after),
        ]
    if container.health is not None and not container.runs_once:
        definition.HealthCheck = _health_check(container.role, container.health)
    if container.public_port is not None:
        definition.PortMappings = [PortMapping(ContainerPort=container.public_port)]
    if container.is_restarted:
        definition.RestartPolicy = RestartPolicy(Enabled=True, RestartAttemptPeriod=RESTART_ATTEMPT_PERIOD_S)
    if container.stop_timeout_s is not None:
        definition.StopTimeout = container.stop_timeout_s
    return definition


def _secret(name: str, secret: SecretValue, *, condition: str | None) -> Any:
    """Return a container's secret, under a condition of its own unless that is the container's."""
    given = ContainerSecret(Name=name, ValueFrom=secret.value_from)
    return given if secret.condition == condition else secret.if_there(given)


def _volumes(containers: Sequence[Container]) -> list[Volume]:
    shared = [Volume(Name=SHARED_VOLUME)] if any(c.has_shared_folder for c in containers) else []
    return [*(Volume(Name=_volume(c, use=use)) for c in containers for use in WRITABLE), *shared]


def _mount_points(container: Container) -> list[MountPoint]:
    shared = [MountPoint(ContainerPath=SHARED_PATH, SourceVolume=SHARED_VOLUME)] if container.has_shared_folder else []
    own = (MountPoint(ContainerPath=path, SourceVolume=_volume(container, use=use)) for use, path in WRITABLE.items())
    return [*own, *shared]


def _volume(container: Container, *, use: str) -> str:
    return f"{container.role}-{use}"


def _health_check(role: str, health: Health) -> HealthCheck:
    return HealthCheck(
        Command=["CMD", ENTRYPOINT, "health", role],
        Interval=HEALTH_INTERVAL_S,
        Retries=health.retries,
        StartPeriod=START_PERIOD_S,
        Timeout=health.timeout_s,
    )
