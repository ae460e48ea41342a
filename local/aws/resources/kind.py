"""A resource type: how to create, update and delete its resources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty

Properties = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PhysicalResource:
    """A resource that exists: Ref gives its `id`, Fn::GetAtt its `attributes`."""

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Change:
    """An update in place, from old to new properties."""

    physical: PhysicalResource
    old: Properties
    new: Properties

    def differs(self, name: str) -> bool:
        """Whether the property changes."""
        return bool(self.old.get(name) != self.new.get(name))

    def changed(self, *but: str) -> dict[str, Any]:
        """Return the new values of the properties that change, except those named."""
        return {name: value for name, value in self.new.items() if name not in but and self.differs(name)}


Create = Callable[[Cloud, str, Properties], PhysicalResource]
Delete = Callable[[Cloud, PhysicalResource], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type.

    `create(cloud, name, properties)` uses the physical name `name` if the properties give none. A resource is replaced
    by any change if `update` is None, by a change of a property in `replaced_by`, and, if `in_place` is given, by a
    change of a property that is not in it.
    """

    type: str
    create: Create
    delete: Delete
    update: Callable[[Cloud, Change], PhysicalResource] | None = None
    replaced_by: frozenset[str] = frozenset()
    in_place: frozenset[str] | None = None

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether the change from old to new properties replaces the resource."""
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        if self.update is None or changed & self.replaced_by:
            return True
        return self.in_place is not None and not changed <= self.in_place


def deleted_by(service: str, operation: str, parameter: str, **fixed: object) -> Delete:
    """Return a `delete` that calls `operation` (as in boto3) with the resource's id as `parameter` and with `fixed`."""

    def delete(cloud: Cloud, physical: PhysicalResource) -> None:
        getattr(cloud.client(service), operation)(**{parameter: physical.id}, **fixed)

    return delete


def refuse_others(properties: Properties, known: Iterable[str]) -> None:
    """Raise UnsupportedProperty for a property that is not known."""
    if unknown := sorted(set(properties) - set(known)):
        raise UnsupportedProperty(f"property {unknown[0]} is not supported")


def without(properties: Properties, *names: str) -> dict[str, Any]:
    """Return the properties except those named."""
    return {key: value for key, value in properties.items() if key not in names}


def shortened(name: str, length: int) -> str:
    """Shorten `name` to `length`; keep its last part, which makes it unique."""
    if len(name) <= length:
        return name
    unique = name[name.rindex("-") :]
    return name[: length - len(unique)].rstrip("-") + unique


def tag_map(properties: Properties) -> dict[str, str]:
    """Return the tags as a mapping, which some APIs take."""
    return {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])}
