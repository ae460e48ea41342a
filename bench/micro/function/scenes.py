"""The scenes in which a tick of the autoscaler is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet.member import CONSUMING, DRAINED, DRAINING
from fleet.pools import Pool
from fleet.registry import ORDER_DRAIN

POOL_NAME = "worker"
SERVICE = "benchmark-Worker"
CLUSTER = "benchmark-Cluster"
# Two queues, of four lists each.
QUEUES = ("default", "bulk")
SLOTS = 16  # of a worker: Airflow's default for worker_concurrency

MOST_QUEUED = 1_000_000
MOST_MEMBERS = 500


@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """`count` equal workers. A busy worker runs SLOTS tasks. `old`: they belong to the previous deployment."""

    count: int
    state: str = CONSUMING
    order: str | None = None
    busy: bool = True
    old: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The contents of Redis and ECS before a tick, and its expected result, which is checked.

    The pool's maximum determines how many workers are needed, because the queued messages alone would need more.
    """

    name: str
    queued: int  # the number of queued messages
    groups: tuple[WorkerGroup, ...]
    maximum: int  # the pool's maximum
    desired: int  # the desired count before the tick
    becomes: int  # the desired count after it
    drains: int = 0  # the number of workers that are ordered to drain
    recalls: int = 0  # the number of workers that are recalled
    unknown_tasks: bool = False  # whether no earlier tick has seen these ECS tasks

    def __str__(self) -> str:
        return f"{self.name}, {self.queued:,} queued, {self.members} members"

    @property
    def members(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def in_rollout(self) -> bool:
        return any(group.old for group in self.groups)

    @property
    def changes_something(self) -> bool:
        return self.becomes != self.desired or bool(self.drains or self.recalls) or self.in_rollout

    @property
    def pool(self) -> Pool:
        return Pool(name=POOL_NAME, service=SERVICE, queues=QUEUES, minimum=1, maximum=self.maximum, concurrency=SLOTS)

    def mismatches(self, decision: Mapping[str, object]) -> list[str]:
        """Return the differences between a decision's record and this scene, in words."""
        drain, recall = decision["drain"], decision["recall"]
        if not isinstance(drain, list) or not isinstance(recall, list):
            raise TypeError(f"drain and recall must be lists: {drain!r}, {recall!r}")
        seen = {
            "queued": decision.get("queued"),
            "desired": decision.get("desired"),
            "drain": len(drain),
            "recall": len(recall),
            "malformed": decision.get("malformed"),
        }
        due = {
            "queued": self.queued,
            "desired": self.becomes,
            "drain": self.drains,
            "recall": self.recalls,
            "malformed": 0,
        }
        return [f"{self.name}: {what} is {seen[what]}, not {due[what]}" for what in due if seen[what] != due[what]]


def steady(*, queued: int, members: int) -> Scene:
    """Return a scene in which nothing changes: all slots are busy, and the pool is at its maximum."""
    return Scene(
        name="nothing changes",
        queued=queued,
        groups=(WorkerGroup(count=members),),
        maximum=members,
        desired=members,
        becomes=members,
    )


def changing(*, queued: int, members: int) -> tuple[Scene, ...]:
    """Return scenes in which half of the workers drain, have drained, are recalled, or are of the old deployment."""
    half = members // 2
    rest = members - half
    deployment = Scene(
        name="a deployment",
        queued=queued,
        groups=(WorkerGroup(count=rest), WorkerGroup(count=half, old=True)),
        maximum=rest,
        desired=rest,
        becomes=members,
        drains=half,
    )
    return (
        Scene(
            name="half drain",
            queued=queued,
            groups=(WorkerGroup(count=members),),
            maximum=rest,
            desired=members,
            becomes=members,
            drains=half,
        ),
        Scene(
            name="half have drained",
            queued=queued,
            groups=(WorkerGroup(count=rest), WorkerGroup(count=half, state=DRAINED, order=ORDER_DRAIN, busy=False)),
            maximum=rest,
            desired=members,
            becomes=rest,
        ),
        Scene(
            name="half are recalled",
            queued=queued,
            groups=(WorkerGroup(count=rest), WorkerGroup(count=half, state=DRAINING, order=ORDER_DRAIN)),
            maximum=members,
            desired=rest,
            becomes=members,
            recalls=half,
        ),
        deployment,
        replace(deployment, name="a deployment's first tick", unknown_tasks=True),
    )
