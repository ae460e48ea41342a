"""Reads from ECS's task definitions the facts that running a task needs, and resolves their secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

DEFAULT_STOP_TIMEOUT_S = 30  # ECS's default on Fargate
DEFAULT_RESTART_ATTEMPT_PERIOD_S = 300  # ECS's default
ARN_PARTS = 7  # arn:aws:secretsmanager:region:account:secret:name


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """When a container that exited is restarted in its task, as ECS's agent decides it.

    `attempt_period_s`: for how long it must have run since it was last started.
    """

    attempt_period_s: int
    ignored_exit_codes: frozenset[int] = frozenset()

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> RestartPolicy | None:
        """Read `restartPolicy` of a container definition; None if there is none or it is not enabled."""
        if not raw or not raw["enabled"]:
            return None
        return cls(
            attempt_period_s=int(raw.get("restartAttemptPeriod", DEFAULT_RESTART_ATTEMPT_PERIOD_S)),
            ignored_exit_codes=frozenset(raw.get("ignoredExitCodes") or ()),
        )

    def allows(self, *, exit_code: int, ran_s: float) -> bool:
        """Whether a container with this exit code and running time is restarted."""
        return exit_code not in self.ignored_exit_codes and ran_s >= self.attempt_period_s


@dataclass(frozen=True, kw_only=True)
class LogGroup:
    """Where the log driver `awslogs` sends a container's output; `prefix` begins the names of the streams."""

    group: str
    prefix: str

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> LogGroup | None:
        """Read `logConfiguration` of a container definition; None if there is none or it names another driver."""
        if not raw or raw["logDriver"] != "awslogs":
            return None
        return cls(group=raw["options"]["awslogs-group"], prefix=raw["options"]["awslogs-stream-prefix"])


@dataclass(frozen=True, kw_only=True)
class ContainerDefinition:
    """One container of a task definition; its ports are those inside the container's network."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]  # variable -> ARN[:json key:stage:version]
    ports: tuple[int, ...]
    essential: bool
    depends_on: Mapping[str, str]  # container -> START | COMPLETE | SUCCESS | HEALTHY
    stop_timeout_s: int
    mounts: Mapping[str, str] = field(default_factory=dict)  # path in the container -> volume
    restart_policy: RestartPolicy | None = None
    memory_mib: int | None = None
    log: LogGroup | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ContainerDefinition:
        """Read one entry of `containerDefinitions`."""
        return cls(
            name=raw["name"],
            command=tuple(raw.get("command") or ()),
            environment={e["name"]: e["value"] for e in raw.get("environment") or ()},
            secrets={s["name"]: s["valueFrom"] for s in raw.get("secrets") or ()},
            ports=tuple(int(p["containerPort"]) for p in raw.get("portMappings") or ()),
            essential=bool(raw.get("essential", True)),
            depends_on={d["containerName"]: d["condition"] for d in raw.get("dependsOn") or ()},
            stop_timeout_s=int(raw.get("stopTimeout") or DEFAULT_STOP_TIMEOUT_S),
            mounts={m["containerPath"]: m["sourceVolume"] for m in raw.get("mountPoints") or ()},
            restart_policy=RestartPolicy.of(raw.get("restartPolicy")),
            memory_mib=int(raw["memory"]) if raw.get("memory") else None,
            log=LogGroup.of(raw.get("logConfiguration")),
        )


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """One revision of a task definition; the ARNs of its roles are empty if it has none."""

    arn: str
    image: str
    containers: tuple[ContainerDefinition, ...]
    task_role: str = ""
    execution_role: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> TaskDefinition:
        """Read `taskDefinition` as ECS describes it. Raises ValueError unless its containers share one image."""
        images = {c["image"] for c in raw["containerDefinitions"]}
        if len(images) != 1:
            raise ValueError(f"{raw['taskDefinitionArn']}: a task must have one image, not {sorted(images)}")
        return cls(
            arn=raw["taskDefinitionArn"],
            image=images.pop(),
            containers=tuple(ContainerDefinition.of(c) for c in raw["containerDefinitions"]),
            task_role=raw.get("taskRoleArn") or "",
            execution_role=raw.get("executionRoleArn") or "",
        )

    def with_overrides(self, overrides: Mapping[str, Any]) -> TaskDefinition:
        """Return it with what a call of RunTask gives in place of it: commands, and variables of containers."""
        given = {each["name"]: each for each in overrides.get("containerOverrides") or ()}
        return replace(self, containers=tuple(_overridden(c, given.get(c.name, {})) for c in self.containers))

    def shared_mounts(self, container: ContainerDefinition) -> dict[str, str]:
        """Return path -> volume of those mounts of a container that other containers of the task have, too."""
        others = {v for c in self.containers if c.name != container.name for v in c.mounts.values()}
        return {path: volume for path, volume in container.mounts.items() if volume in others}


def _overridden(container: ContainerDefinition, given: Mapping[str, Any]) -> ContainerDefinition:
    variables = {entry["name"]: entry["value"] for entry in given.get("environment") or ()}
    command = tuple(given.get("command") or container.command)
    return replace(container, command=command, environment={**container.environment, **variables})


def resolve_secrets(secrets: Mapping[str, str], client: Any) -> dict[str, str]:
    """Return variable -> value for `secrets` (variable -> ARN[:json key:version stage:version id]), as ECS does."""
    values = {}
    for variable, value_from in secrets.items():
        parts = value_from.split(":")
        arn, key = ":".join(parts[:ARN_PARTS]), (parts[ARN_PARTS] if len(parts) > ARN_PARTS else "")
        secret = client.get_secret_value(SecretId=arn)["SecretString"]
        values[variable] = str(json.loads(secret)[key]) if key else secret
    return values
