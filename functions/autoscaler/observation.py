"""What one look at one pool saw: the input of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fleet.registry import (
    DRAINED,
    DRAINING,
    ORDER_CONSUME,
    ORDER_DRAIN,
    STOPPED,
    Forecast,
    Member,
)

PRIMARY = "PRIMARY"  # a deployment's status
# Containers report at least every 5 s; one that is silent for this long has most likely ended.
SILENT_AFTER_S = 11.0


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An input that could not be read, or not believed. It is never taken for zero."""

    source: str
    why: str

    def __str__(self) -> str:
        return f"{self.source}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as the registry shows it. `order` is the last order it was given, None when there is none.

    `silent_s`: seconds since its last report. The registry shows one that crashed for a while after its end.
    `deployment`: the id of the one that started its task; None when it was not asked for, or ECS does not say.
    """

    id: str
    state: str
    active: int
    slots: int
    protected: bool
    order: str | None
    started_at: float
    silent_s: float = 0.0
    task_arn: str = ""
    deployment: str | None = None

    @classmethod
    def from_member(cls, member: Member, *, order: str | None, now: float) -> Worker:
        return cls(
            id=member.id,
            state=member.state,
            active=member.active,
            slots=member.slots,
            protected=member.protected,
            order=order,
            started_at=member.started_at,
            silent_s=max(0.0, now - member.last_seen),
            task_arn=member.task_arn,
        )

    @property
    def free_slots(self) -> int:
        """A worker may hold more than it has slots for: it took them from an earlier connection."""
        return max(0, self.slots - self.active)

    @property
    def is_ordered_to_drain(self) -> bool:
        """Ordered to drain. A worker keeps its last order, so a lost one (Redis restarted) shows in its state."""
        return self.order == ORDER_DRAIN or (self.order is None and self.state in (DRAINING, DRAINED))

    @property
    def is_being_recalled(self) -> bool:
        """Ordered to consume again, and not yet there: it takes protection first."""
        return self.order == ORDER_CONSUME and self.state == DRAINED

    @property
    def may_be_stopped(self) -> bool:
        """Drained, unprotected, and will stay so: it has no task, and takes none without an order from here."""
        return self.state == DRAINED and not self.protected and self.order == ORDER_DRAIN

    @property
    def has_ended(self) -> bool:
        """Stopped, or drained and silent: it is nobody to recall, and not one by which desired may fall.

        A silent worker that may have tasks is taken to live until the registry forgets it.
        """
        return self.state == STOPPED or (self.silent_s > SILENT_AFTER_S and self.may_be_stopped)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The pool's workers; `malformed` are members whose records cannot be believed, of any pool."""

    workers: tuple[Worker, ...]
    malformed: tuple[str, ...] = ()

    @property
    def active(self) -> int:
        """Tasks in flight. Never counted from `unacked`, where a dead worker's tasks stay for a day."""
        return sum(worker.active for worker in self.workers)

    def with_deployments(self, deployments: Mapping[str, str]) -> Fleet:
        """The same, each worker with its deployment, by task ARN."""
        workers = tuple(replace(worker, deployment=deployments.get(worker.task_arn)) for worker in self.workers)
        return replace(self, workers=workers)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    id: str
    status: str
    task_definition: str
    running: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """The pool's ECS service, in tasks. By tags on it somebody asked to leave it alone (`paused`), or to have no worker
    of it (`asleep`).
    """

    desired: int
    running: int
    pending: int
    deployments: tuple[Deployment, ...]
    paused: bool = False
    asleep: bool = False

    @property
    def is_rolling_out(self) -> bool:
        """Tasks of an older deployment are still there beside the present one's."""
        return len(self.deployments) > 1

    @property
    def primary(self) -> str | None:
        """The id of the deployment that replaces all others."""
        return next((deployment.id for deployment in self.deployments if deployment.status == PRIMARY), None)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """`now` is Redis's time in seconds since the epoch; `queued` counts messages by queue;
    `heads` has a digest of the oldest message of each list that is not empty.

    `tasks` is set when ECS should have said of which deployments the workers are, and did not.
    `forecast` says when runs will want how many slots more; None when nobody knows.
    """

    now: float
    queued: Mapping[str, int] | Unreadable
    fleet: Fleet | Unreadable
    service: Service | Unreadable
    tasks: Unreadable | None = None
    heads: Mapping[str, str] = field(default_factory=dict)
    forecast: Forecast | None = None

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        parts = (self.queued, self.fleet, self.service, self.tasks)
        return tuple(part for part in parts if isinstance(part, Unreadable))
