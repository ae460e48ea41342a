"""The engine's state: stacks, their resources, events and change sets."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cfn.template import Template
from local.aws.resources.kind import Kind, PhysicalResource

STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What becomes of a resource that the stack gives up: by its deletion, and by its replacement."""

    deletion: str = "Delete"
    replacement: str = "Delete"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource that exists. Its `properties` are resolved, but not dynamic references: secrets are not stored."""

    logical_id: str
    kind: Kind
    properties: Mapping[str, Any]
    physical: PhysicalResource
    needs: frozenset[str]
    policies: Policies
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a stack or of a resource."""

    id: str
    at: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class DesiredResource:
    """A resource as the template describes it: conditions are evaluated, references are not resolved yet."""

    logical_id: str
    kind: Kind
    properties: Mapping[str, Any]
    needs: frozenset[str]
    policies: Policies


@dataclass(frozen=True, kw_only=True)
class EvaluatedTemplate:
    """A template with its parameters applied, ready to execute; `resources` are in the order of creation."""

    body: str
    template: Template
    parameters: Mapping[str, Any]
    given: Mapping[str, str]
    tags: Mapping[str, str]
    resources: Mapping[str, DesiredResource]
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlannedChange:
    """One resource change of a change set."""

    action: str
    logical_id: str
    physical_id: str | None
    type: str
    replacement: str | None


@dataclass(kw_only=True)
class ChangeSet:
    """A change set and its status."""

    id: str
    name: str
    kind: str
    evaluated: EvaluatedTemplate
    changes: list[PlannedChange]
    status: str
    reason: str | None
    description: str | None
    created_at: datetime
    execution_status: str


@dataclass(kw_only=True)
class Stack:
    """A stack, with the template that it was last brought to."""

    id: str
    name: str
    status: str
    created_at: datetime
    reason: str | None = None
    updated_at: datetime | None = None
    evaluated: EvaluatedTemplate | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def busy(self) -> bool:
        """Whether an execution is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def become(self, status: str, reason: str | None = None) -> None:
        """Change the stack's status, with the event that CloudFormation's clients wait for."""
        self.record(logical_id=self.name, physical_id=self.id, type=STACK_TYPE, status=status, reason=reason)
        self.status, self.reason = status, reason

    def record(self, *, logical_id: str, physical_id: str, type: str, status: str, reason: str | None = None) -> None:
        """Add an event. Several resources may change at once, each in a thread of its own."""
        with self._lock:
            at = datetime.now(UTC)
            if self.events and at <= self.events[-1].at:
                # SAM CLI drops events that are not later than the last one shown.
                at = self.events[-1].at + timedelta(milliseconds=1)
            self.events.append(
                Event(
                    id=str(uuid.uuid4()),
                    at=at,
                    logical_id=logical_id,
                    physical_id=physical_id,
                    type=type,
                    status=status,
                    reason=reason,
                )
            )
