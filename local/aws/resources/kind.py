"""A resource type: how to create, update and delete its resources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.resources.schemas import Rules, rules_of

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


class Unstable(Exception):
    """A resource will not become what CloudFormation waits for; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type: what creates, changes and deletes its resources. AWS's schema says what replaces them.

    `create(cloud, name, properties)` uses the physical name `name` if the properties give none.
    `update`: changes a resource in place; None if nothing can be changed here.
    `unchangeable`: properties that CloudFormation changes in place, and `update` does not.
    `replaced_by`: properties that replace a resource in some cases only, by the schema; here they always do.
    `is_stable`: whether a created or updated resource is what CloudFormation waits for. Raises Unstable.
    `is_gone`: whether a deleted resource is gone, which CloudFormation waits for, too.
    `snapshot`: what DeletionPolicy: Snapshot does before the deletion.
    `default_policy`: the deletion policy of a resource that has none in the template.
    """

    type: str
    create: Create
    delete: Delete
    update: Callable[[Cloud, Change], PhysicalResource] | None = None
    unchangeable: frozenset[str] = frozenset()
    replaced_by: frozenset[str] = frozenset()
    is_stable: Callable[[Cloud, PhysicalResource], bool] | None = None
    is_gone: Callable[[Cloud, PhysicalResource], bool] | None = None
    snapshot: Delete | None = None
    default_policy: str = "Delete"
    rules_of: Callable[[str], Rules] = rules_of

    @property
    def rules(self) -> Rules:
        """The rules of AWS's schema for the type."""
        return self.rules_of(self.type)

    @property
    def service(self) -> str:
        """The AWS service of the type."""
        return self.type.split("::")[1] if "::" in self.type else self.type

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether the change from old to new properties replaces the resource."""
        return bool(self.rules.replacing(old, new)) or bool(self.replaced_by & differing(old, new))

    def may_replace(self, old: Properties, new: Properties) -> bool:
        """Whether the change replaces the resource in cases that the schema does not tell."""
        return bool(self.rules.perhaps_replacing(old, new))

    def refuse_unchangeable(self, change: Change) -> None:
        """Raise UnsupportedProperty if `update` cannot carry the change out: to skip it would deploy something else."""
        changed = differing(change.old, change.new)
        if wrong := sorted(changed if self.update is None else changed & self.unchangeable):
            raise UnsupportedProperty(f"the local AWS API cannot change {', '.join(wrong)} of {self.type} in place")


def differing(old: Properties, new: Properties) -> frozenset[str]:
    """Return the names of the properties that differ."""
    return frozenset(name for name in {*old, *new} if old.get(name) != new.get(name))


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
