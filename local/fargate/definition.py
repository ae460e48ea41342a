"""Reads what describe_task_definition and describe_services answer into the few facts that running a task takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_STOP_TIMEOUT_S = 30  # ECS's default on Fargate


@dataclass(frozen=True, kw_only=True)
class ContainerDefinition:
    """One container of a task definition; ports are those inside the container's network."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]  # variable -> ARN[:json key:stage:version]
    ports: tuple[int, ...]
    essential: bool
    depends_on: Mapping[str, str]  # container -> START | COMPLETE | SUCCESS | HEALTHY
    stop_timeout_s: int

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
        )


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """One revision of a task definition."""

    arn: str
    image: str
    containers: tuple[ContainerDefinition, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> TaskDefinition:
        """Read `taskDefinition` as ECS describes it; its containers share one image here."""
        images = {c["image"] for c in raw["containerDefinitions"]}
        if len(images) != 1:
            raise ValueError(f"{raw['taskDefinitionArn']}: one image a task is supported, not {sorted(images)}")
        return cls(
            arn=raw["taskDefinitionArn"],
            image=images.pop(),
            containers=tuple(ContainerDefinition.of(c) for c in raw["containerDefinitions"]),
        )
