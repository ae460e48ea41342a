"""The worker pools, as the template declares them to the functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.settings import Environment, SettingsError, json_value, whole_number

POOLS = "POOLS"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A set of queues with its own ECS service (name or ARN), its limits and its slots a worker.

    A `minimum` above the `maximum` means the maximum: one pool's parameters must not stop the other pools' scaling.
    """

    name: str
    service: str
    queues: tuple[str, ...]
    minimum: int
    maximum: int
    concurrency: int


def pools_from_environment(environment: Environment) -> tuple[Pool, ...]:
    """The pools in POOLS: `[{"name", "service", "queues", "min", "max", "concurrency"}, ...]`; raises SettingsError."""
    declared = json_value(environment, POOLS)
    if not isinstance(declared, list) or not declared:
        raise SettingsError(f"{POOLS} must be a list of at least one pool")
    pools = tuple(_pool(entry) for entry in declared)
    for what, values in (("name", [p.name for p in pools]), ("service", [p.service for p in pools])):
        if len(set(values)) < len(values):
            raise SettingsError(f"{POOLS}: two pools have the same {what}")
    return pools


def _pool(entry: Any) -> Pool:
    if not isinstance(entry, dict):
        raise SettingsError(f"{POOLS}: {entry!r} is not an object")
    queues = entry.get("queues")
    if not isinstance(queues, list) or not queues or not all(isinstance(q, str) and q for q in queues):
        raise SettingsError(f"{POOLS}: queues is {queues!r}: it must be a list of at least one name")
    return Pool(
        name=_text(entry, "name"),
        service=_text(entry, "service"),
        queues=tuple(dict.fromkeys(queues)),
        minimum=whole_number(entry.get("min"), name=f"{POOLS}: min"),
        maximum=whole_number(entry.get("max"), name=f"{POOLS}: max"),
        concurrency=whole_number(entry.get("concurrency"), name=f"{POOLS}: concurrency", lowest=1),
    )


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{POOLS}: {name} is {value!r}: it must be a name")
    return value
