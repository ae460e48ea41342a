"""What one tick saw of one pool: the input of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.forecast import Forecast
from fleet.member import CONSUMING, DRAINED, DRAINING, STOPPED, Member
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

PRIMARY = "PRIMARY"  # a deployment's status
# Containers report at least every 5 s; one that is silent for this long has most likely ended.
SILENT_AFTER_S = 11.0
# A worker may hold more tasks than slots, from an earlier connection.
MOST_TASKS_A_SLOT = 2


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An input that could not be read or is not credible. It is never taken for zero."""

    source: str
    why: str

    def __str__(self) -> str:
        return f"{self.source}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as the registry shows it.

    `order`: the last order it was given, None without one. `silent_s`: seconds since its last report; the registry
    shows a crashed worker for a while. `deployment`: the id of the deployment that started its task, None if unknown.
    `trouble`: why it takes no messages although it is `consuming`; empty if it does. `declared_slots`: as many as
    `slots`, or more if its memory does not allow for all.
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
    trouble: str = ""
    declared_slots: int = 0

    @classmethod
    def from_member(
        cls, member: Member, *, order: str | None, now: float, limit: int, deployment: str | None
    ) -> Worker:
        """Return the worker; `limit`: the slots that it can have at most. More slots or tasks are not believed."""
        return cls(
            id=member.id,
            state=member.state,
            active=min(member.active, MOST_TASKS_A_SLOT * limit),
            slots=min(member.slots, limit),
            protected=member.protected,
            order=order,
            started_at=member.started_at,
            silent_s=max(0.0, now - member.last_seen),
            task_arn=member.task_arn,
            deployment=deployment,
            trouble=member.trouble,
            declared_slots=min(member.declared_slots, limit),
        )

    @property
    def is_consuming(self) -> bool:
        """Whether it has proven that it takes messages."""
        return self.state == CONSUMING and not self.trouble

    @property
    def free_slots(self) -> int:
        """Slots without a task, on a worker that can take one. It may hold more tasks than slots, of an old release."""
        return 0 if self.trouble else max(0, self.slots - self.active)

    @property
    def is_ordered_to_drain(self) -> bool:
        """Whether it is to drain. A worker keeps its last order, so an order that Redis lost shows in its state."""
        return self.order == ORDER_DRAIN or (self.order is None and self.state in (DRAINING, DRAINED))

    @property
    def is_being_recalled(self) -> bool:
        """Whether it was told to consume again and is still drained: it takes protection first."""
        return self.order == ORDER_CONSUME and self.state == DRAINED

    @property
    def may_be_stopped(self) -> bool:
        """Whether it is drained, unprotected and stays so: it has no task, and takes none without an order."""
        return self.state == DRAINED and not self.protected and self.order == ORDER_DRAIN

    @property
    def has_ended(self) -> bool:
        """Whether it is stopped, or drained and silent: not to be recalled, and no reason to lower the desired count.

        A silent worker that may have tasks counts as alive until the registry forgets it.
        """
        return self.state == STOPPED or (self.silent_s > SILENT_AFTER_S and self.may_be_stopped)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The pool's workers, and the ids of records that are not believed.

    `malformed`: of ECS tasks of the pool, or of tasks that ECS was not asked about: they may be of any pool. `limited`:
    workers that claim more than a worker can have. `ignored`: no running ECS task stands behind them.
    """

    workers: tuple[Worker, ...]
    malformed: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def active(self) -> int:
        """Tasks that run. They are not counted from `unacked`, where a dead worker's tasks stay for a day."""
        return sum(worker.active for worker in self.workers)

    @property
    def share_in_use(self) -> float:
        """The share of their slots that consuming workers use, as far as their memory allows; 1 without workers."""
        slots = declared = 0
        for worker in self.workers:
            if worker.is_consuming:
                slots += worker.slots
                declared += max(worker.slots, worker.declared_slots)
        return slots / declared if declared else 1.0


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """`rollout_state`: as ECS says it; empty where it says none."""

    id: str
    status: str
    task_definition: str
    running: int
    rollout_state: str = ""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The pool's ECS service; counts are ECS tasks.

    Its tags say whether the autoscaler must leave it alone (`paused`), whether it must have no worker (`asleep`), and
    that AWS retires the workers that started before a time (`retire_before`, in seconds since the epoch).
    """

    desired: int
    running: int
    pending: int
    deployments: tuple[Deployment, ...]
    paused: bool = False
    asleep: bool = False
    retire_before: float | None = None

    @property
    def is_rolling_out(self) -> bool:
        """Whether tasks of an older deployment are left."""
        return len(self.deployments) > 1

    @property
    def primary(self) -> str | None:
        """The id of the deployment that replaces all others."""
        newest = self._newest
        return None if newest is None else newest.id

    @property
    def revision(self) -> str:
        """The ARN of the task definition that the service starts workers from; empty if unknown."""
        newest = self._newest
        return "" if newest is None else newest.task_definition

    @property
    def rollout_state(self) -> str:
        """The state of the newest deployment's rollout."""
        newest = self._newest
        return "" if newest is None else newest.rollout_state

    @property
    def _newest(self) -> Deployment | None:
        return next((deployment for deployment in self.deployments if deployment.status == PRIMARY), None)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The inputs of a decision about one pool.

    `now`: Redis's time in seconds since the epoch. `queued`: messages by queue. `heads`: a digest of the oldest message
    of each list that is not empty. `tasks`: why ECS did not say which tasks run; None when it
    did. `forecast`: when runs will want how many more slots, None when unknown.
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
