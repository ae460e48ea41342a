"""Executes a change set: creates, updates and deletes resources, and rolls everything back when one fails."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cfn.intrinsics import resolve
from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.cloudformation import dynamic_references
from local.aws.cloudformation.planning import in_order, outputs_of, scope_of
from local.aws.cloudformation.stacks import DesiredResource, EvaluatedTemplate, Resource, Stack
from local.aws.resources.kind import Change

_UNIQUE_LENGTH = 12


class ResourceFailure(Exception):
    """A resource could not be created, updated or deleted; the message says which and why."""


class Execution:
    """One creation, update or deletion of one stack."""

    def __init__(self, stack: Stack, cloud: Cloud) -> None:
        self._stack = stack
        self._cloud = cloud
        self._undo: list[Callable[[], None]] = []
        self._replaced: list[Resource] = []

    def create(self, evaluated: EvaluatedTemplate) -> None:
        """Create the stack, or roll back."""
        with self._never_left_in_progress("CREATE_FAILED"):
            self._stack.evaluated = evaluated
            self._stack.become("CREATE_IN_PROGRESS", "User Initiated")
            try:
                self._apply(evaluated)
            except ResourceFailure as failure:
                self._stack.become("ROLLBACK_IN_PROGRESS", f"{failure} Rollback requested by user.")
                self._take_back("ROLLBACK")
            else:
                self._stack.become("CREATE_COMPLETE")

    def update(self, evaluated: EvaluatedTemplate) -> None:
        """Update the stack and delete what the template no longer has, or roll back."""
        stack = self._stack
        with self._never_left_in_progress("UPDATE_ROLLBACK_FAILED"):
            stack.become("UPDATE_IN_PROGRESS", "User Initiated")
            stack.updated_at = datetime.now(UTC)
            try:
                self._apply(evaluated)
            except ResourceFailure as failure:
                stack.become("UPDATE_ROLLBACK_IN_PROGRESS", str(failure))
                self._take_back("UPDATE_ROLLBACK")
                return
            stack.evaluated = evaluated
            stack.become("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            for resource in reversed(self._replaced):
                self._try_to_remove(resource)
            gone = {name: r for name, r in stack.resources.items() if name not in evaluated.resources}
            self._remove_all(gone)
            stack.become("UPDATE_COMPLETE")

    def delete(self) -> None:
        """Delete the stack's resources."""
        stack = self._stack
        with self._never_left_in_progress("DELETE_FAILED"):
            stack.become("DELETE_IN_PROGRESS", "User Initiated")
            failed = self._remove_all(stack.resources)
            if failed:
                stack.become("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}].")
            else:
                stack.become("DELETE_COMPLETE")

    @contextmanager
    def _never_left_in_progress(self, status: str) -> Iterator[None]:
        """Give the stack `status` if the block ends otherwise without one: a bug must end the deployment, too."""
        try:
            yield
        finally:
            if self._stack.busy:
                self._stack.become(status, "Internal error of the local AWS API, see its standard error")

    def _apply(self, evaluated: EvaluatedTemplate) -> None:
        for name, desired in evaluated.resources.items():
            with self._failing_as("CREATE" if name not in self._stack.resources else "UPDATE", desired):
                properties = resolve(desired.properties, scope_of(evaluated, self._stack.resources))
                self._bring_about(desired, properties)
        try:
            self._stack.outputs = outputs_of(evaluated, scope_of(evaluated, self._stack.resources))
        except TemplateError as error:
            raise ResourceFailure(f"{error}.") from error

    def _bring_about(self, desired: DesiredResource, properties: Mapping[str, Any]) -> None:
        existing = self._stack.resources.get(desired.logical_id)
        if existing is None:
            created = self._create(desired, properties)
            self._undo.append(lambda: self._remove(created))
        elif existing.kind is desired.kind and existing.properties == properties:
            pass
        elif existing.kind is not desired.kind or desired.kind.replaces(existing.properties, properties):
            replacement = self._create(desired, properties)
            self._replaced.append(existing)
            self._undo.append(lambda: self._restore(existing, instead_of=replacement))
        else:
            self._update(existing, properties)
            self._undo.append(lambda: self._update(existing, existing.properties, was=properties))
        now = self._stack.resources[desired.logical_id]
        self._stack.resources[desired.logical_id] = replace(now, needs=desired.needs, retain=desired.retain)

    def _create(self, desired: DesiredResource, properties: Mapping[str, Any]) -> Resource:
        name = desired.logical_id
        self._say("CREATE_IN_PROGRESS", name, desired.kind.type)
        physical_name = f"{self._stack.name}-{name}-{uuid.uuid4().hex[:_UNIQUE_LENGTH].upper()}"
        physical = desired.kind.create(self._cloud, physical_name, dynamic_references.resolved(properties, self._cloud))
        resource = Resource(
            logical_id=name,
            kind=desired.kind,
            properties=properties,
            physical=physical,
            needs=desired.needs,
            retain=desired.retain,
            changed_at=datetime.now(UTC),
        )
        self._stack.resources[name] = resource
        self._say("CREATE_COMPLETE", name, desired.kind.type, physical.id)
        return resource

    def _update(
        self, resource: Resource, properties: Mapping[str, Any], *, was: Mapping[str, Any] | None = None
    ) -> None:
        update = resource.kind.update
        if update is None:
            raise ResourceFailure(f"{resource.kind.type} ({resource.logical_id}) cannot be updated in place")
        name, kind = resource.logical_id, resource.kind.type
        self._say("UPDATE_IN_PROGRESS", name, kind, resource.physical.id)
        change = Change(
            physical=self._stack.resources[name].physical,
            old=dynamic_references.resolved(was or resource.properties, self._cloud),
            new=dynamic_references.resolved(properties, self._cloud),
        )
        physical = update(self._cloud, change)
        self._stack.resources[name] = replace(
            resource, properties=properties, physical=physical, changed_at=datetime.now(UTC)
        )
        self._say("UPDATE_COMPLETE", name, kind, physical.id)

    def _restore(self, resource: Resource, *, instead_of: Resource) -> None:
        self._remove(instead_of)
        self._stack.resources[resource.logical_id] = resource

    def _remove(self, resource: Resource) -> None:
        name, kind, physical_id = resource.logical_id, resource.kind.type, resource.physical.id
        self._say("DELETE_IN_PROGRESS", name, kind, physical_id)
        resource.kind.delete(self._cloud, resource.physical)
        current = self._stack.resources.get(name)
        if (
            current is not None and current.physical.id == resource.physical.id
        ):  # otherwise it has been replaced already
            del self._stack.resources[name]
        self._say("DELETE_COMPLETE", name, kind, physical_id)

    def _try_to_remove(self, resource: Resource) -> bool:
        """Delete the resource unless it is retained; return False, after an event, if that failed."""
        if resource.retain:
            self._say("DELETE_SKIPPED", resource.logical_id, resource.kind.type, resource.physical.id)
            return True
        try:
            self._remove(resource)
        except (ClientError, BotoCoreError) as error:
            self._say("DELETE_FAILED", resource.logical_id, resource.kind.type, resource.physical.id, _reason(error))
            return False
        return True

    def _remove_all(self, resources: Mapping[str, Resource]) -> list[str]:
        """Delete the resources, each before those it needs; return the names of those that could not be deleted."""
        needs = {name: resource.needs for name, resource in resources.items()}
        found = dict(resources)
        return [name for name in reversed(in_order(needs)) if not self._try_to_remove(found[name])]

    def _take_back(self, rollback: str) -> None:
        try:
            for undo in reversed(self._undo):
                undo()
        except (ClientError, BotoCoreError) as error:
            self._stack.become(f"{rollback}_FAILED", _reason(error))
        else:
            self._stack.become(f"{rollback}_COMPLETE")

    @contextmanager
    def _failing_as(self, action: str, desired: DesiredResource) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, UnsupportedProperty, TemplateError, KeyError) as error:
            existing = self._stack.resources.get(desired.logical_id)
            physical_id = existing.physical.id if existing else ""
            reason = _reason(error)
            self._say(f"{action}_FAILED", desired.logical_id, desired.kind.type, physical_id, reason)
            verb = action.lower()
            raise ResourceFailure(
                f"The following resource(s) failed to {verb}: [{desired.logical_id}]. {desired.kind.type}: {reason}"
            ) from error

    def _say(self, status: str, name: str, kind: str, physical_id: str = "", reason: str | None = None) -> None:
        self._stack.record(logical_id=name, physical_id=physical_id, type=kind, status=status, reason=reason)


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return (
            f"{error.response['Error'].get('Message') or error.response['Error'].get('Code')} ({error.operation_name})"
        )
    if isinstance(error, KeyError):
        return f"property {error} is required"
    return " ".join(str(error).split())
