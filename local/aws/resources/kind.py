"""What the engine needs to know of a resource type: how to create, update and delete one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws.backend.cloud import Cloud

Properties = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PhysicalResource:
    """An existing resource: `id` is what Ref gives, `attributes` what Fn::GetAtt gives."""

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Change:
    """An update in place, from old to new properties."""

    physical: PhysicalResource
    old: Properties
    new: Properties

    def differs(self, name: str) -> bool:
        return bool(self.old.get(name) != self.new.get(name))

    def changed(self, *but: str) -> dict[str, Any]:
        """New values of the properties that differ, without those named."""
        return {name: value for name, value in self.new.items() if name not in but and self.differs(name)}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type.

    `create(cloud, name, properties)`: `name` is the physical name to use when the properties give none.
    `update` None: any change replaces the resource, as does a change of a property in `replaced_by`, or of one that is
    not in `in_place` when that is given.
    """

    type: str
    create: Callable[[Cloud, str, Properties], PhysicalResource]
    delete: Callable[[Cloud, PhysicalResource], None]
    update: Callable[[Cloud, Change], PhysicalResource] | None = None
    replaced_by: frozenset[str] = frozenset()
    in_place: frozenset[str] | None = None

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether going from old to new properties needs another resource."""
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        if self.update is None or changed & self.replaced_by:
            return True
        return self.in_place is not None and not changed <= self.in_place


def without(properties: Properties, *names: str) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if key not in names}


def shortened(name: str, length: int) -> str:
    """`name`, with enough taken from its middle to fit; the end, which makes it unique, stays."""
    if len(name) <= length:
        return name
    unique = name[name.rindex("-") :]
    return name[: length - len(unique)].rstrip("-") + unique


def tag_map(properties: Properties) -> dict[str, str]:
    """Tags as the mapping that some APIs take."""
    return {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])}
