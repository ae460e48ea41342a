"""Creates, updates and deletes single resources of a stack, with the events that CloudFormation's clients wait for."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.cloudformation import dynamic_references
from local.aws.cloudformation.stacks import DesiredResource, Resource, Stack
from local.aws.resources.kind import Change, Unstable

LOOK_EVERY_S = 0.2
NO_WAIT = 0.0  # the limit that waits for nothing
# What EC2 says of a resource that another one uses, and how long that may last here; on AWS up to 45 minutes.
IN_USE, IN_USE_LIMIT_S = "DependencyViolation", 10.0
RETAIN, RETAIN_EXCEPT_ON_CREATE, SNAPSHOT = "Retain", "RetainExceptOnCreate", "Snapshot"
_UNIQUE_LENGTH = 12
# What the APIs, the schemas and the template's functions raise; anything else is a bug of this API.
REFUSALS = (ClientError, BotoCoreError, UnsupportedProperty, TemplateError, Unstable, KeyError)


class ResourceFailure(Exception):
    """A resource could not be created, updated or deleted; the message says why."""


class Operations:
    """The operations on the resources of one stack. Each may run in a thread of its own.

    `halted` ends the wait for resources that are not stable yet, as CloudFormation cancels them when another failed.
    """

    def __init__(self, stack: Stack, cloud: Cloud, *, limit_s: float, halted: threading.Event) -> None:
        self._stack = stack
        self._cloud = cloud
        self._limit_s = limit_s
        self._halted = halted
        # moto's services do not expect two writers at once. CloudFormation's waits are outside of the locks.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def create(self, desired: DesiredResource, properties: Mapping[str, Any]) -> None:
        """Create the resource and wait until it is stable. Raises ResourceFailure."""
        name, kind = desired.logical_id, desired.kind
        self._say("CREATE_IN_PROGRESS", name, kind.type)
        try:
            given = self._checked(desired, properties)
            physical_name = f"{self._stack.name}-{name}-{uuid.uuid4().hex[:_UNIQUE_LENGTH].upper()}"
            with self._locks[kind.service]:
                physical = kind.create(self._cloud, physical_name, given)
            resource = Resource(
                logical_id=name,
                kind=kind,
                properties=properties,
                physical=physical,
                needs=desired.needs,
                policies=desired.policies,
                changed_at=datetime.now(UTC),
            )
            # Known before it is stable: a rollback must find it.
            self._stack.resources[name] = resource
            self._await_stable(resource, "creation")
        except REFUSALS as error:
            raise self._failure("CREATE", desired, error) from error
        self._say("CREATE_COMPLETE", name, kind.type, physical.id)

    def update(self, desired: DesiredResource, properties: Mapping[str, Any]) -> None:
        """Change the resource in place and wait until it is stable. Raises ResourceFailure."""
        existing = self._stack.resources[desired.logical_id]
        kind = existing.kind
        self._say("UPDATE_IN_PROGRESS", desired.logical_id, kind.type, existing.physical.id)
        try:
            new = self._checked(desired, properties)
            old = dynamic_references.resolved(existing.properties, self._cloud)
            change = Change(physical=existing.physical, old=old, new=new)
            kind.refuse_unchangeable(change)
            with self._locks[kind.service]:
                physical = existing.physical if kind.update is None else kind.update(self._cloud, change)
            updated = replace(existing, properties=properties, physical=physical, changed_at=datetime.now(UTC))
            self._stack.resources[desired.logical_id] = updated
            self._await_stable(updated, "update")
        except REFUSALS as error:
            raise self._failure("UPDATE", desired, error) from error
        self._say("UPDATE_COMPLETE", desired.logical_id, kind.type, physical.id)

    def remove(self, resource: Resource, policy: str) -> None:
        """Delete the resource as the policy says. Raises ResourceFailure, after the event."""
        name, kind, physical = resource.logical_id, resource.kind, resource.physical
        if policy == RETAIN:
            self._say("DELETE_SKIPPED", name, kind.type, physical.id)
            self._forget(resource)
            return
        self._say("DELETE_IN_PROGRESS", name, kind.type, physical.id)
        try:
            if policy == SNAPSHOT and kind.snapshot is not None:
                kind.snapshot(self._cloud, physical)
            self._delete(resource)
            if (is_gone := kind.is_gone) is not None:
                self._await(lambda: is_gone(self._cloud, physical), "deletion")
        except REFUSALS as error:
            reason = in_words(error)
            self._say("DELETE_FAILED", name, kind.type, physical.id, reason)
            raise ResourceFailure(f"{kind.type}: {reason}") from error
        self._forget(resource)
        self._say("DELETE_COMPLETE", name, kind.type, physical.id)

    def _delete(self, resource: Resource) -> None:
        """Delete the resource; try again for a while when something still uses it, as CloudFormation does."""
        deadline = time.monotonic() + IN_USE_LIMIT_S
        while True:
            try:
                with self._locks[resource.kind.service]:
                    resource.kind.delete(self._cloud, resource.physical)
            except ClientError as error:
                if error.response["Error"].get("Code") != IN_USE or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def _forget(self, resource: Resource) -> None:
        current = self._stack.resources.get(resource.logical_id)
        if current is not None and current.physical.id == resource.physical.id:  # otherwise it was replaced
            del self._stack.resources[resource.logical_id]

    def _checked(self, desired: DesiredResource, properties: Mapping[str, Any]) -> Any:
        """Return the properties with their secrets. Raises Unstable if AWS's schema refuses them."""
        if said := desired.kind.rules.violations(properties):
            raise Unstable("Properties validation failed for resource " + f"{desired.logical_id}: {'; '.join(said)}")
        return dynamic_references.resolved(properties, self._cloud)

    def _await_stable(self, resource: Resource, what: str) -> None:
        is_stable = resource.kind.is_stable
        if is_stable is not None:
            self._await(lambda: is_stable(self._cloud, resource.physical), what)

    def _await(self, is_done: Callable[[], bool], what: str) -> None:
        if self._limit_s <= NO_WAIT:
            return
        deadline = time.monotonic() + self._limit_s
        while not is_done():
            if self._halted.wait(LOOK_EVERY_S):
                raise Unstable(f"Resource {what} cancelled")
            if time.monotonic() > deadline:
                raise Unstable("Exceeded attempts to wait")

    def _failure(self, action: str, desired: DesiredResource, error: Exception) -> ResourceFailure:
        existing = self._stack.resources.get(desired.logical_id)
        physical_id = existing.physical.id if existing else ""
        reason = in_words(error)
        self._say(f"{action}_FAILED", desired.logical_id, desired.kind.type, physical_id, reason)
        return ResourceFailure(f"{desired.kind.type}: {reason}")

    def _say(self, status: str, name: str, kind: str, physical_id: str = "", reason: str | None = None) -> None:
        self._stack.record(logical_id=name, physical_id=physical_id, type=kind, status=status, reason=reason)


def in_words(error: Exception) -> str:
    """Return the reason in one line."""
    if isinstance(error, ClientError):
        said = error.response["Error"]
        return f"{said.get('Message') or said.get('Code')} ({error.operation_name})"
    if isinstance(error, KeyError):
        return f"property {error} is required"
    return " ".join(str(error).split())
