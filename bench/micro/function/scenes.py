"""The situations in which a look of the autoscaler is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet.pools import Pool
from fleet.registry import CONSUMING, DRAINED, DRAINING, ORDER_DRAIN

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
    """So many workers that are alike; each busy one runs SLOTS tasks. `old`: of the deployment that is replaced."""

    count: int
    state: str = CONSUMING
    order: str | None = None
    busy: bool = True
    old: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What Redis and ECS hold before the look, and what it must come to: else something else would be measured.

    `desired` is what ECS says before, `becomes` after; `drains` and `recalls` count orders. The pool's maximum decides
    how many of the workers are needed, because the queued messages alone would need more. `unknown_tasks`: no look has
    seen these tasks before.
    """

    name: str
    queued: int
    groups: tuple[WorkerGroup, ...]
    maximum: int
    desired: int
    becomes: int
    drains: int = 0
    recalls: int = 0
    unknown_tasks: bool = False

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
        """What a look's decision, as its record has it, lacks of this scene, in words; empty when it fits."""
        drain, recall = decision["drain"], decision["recall"]
        assert isinstance(drain, list)
        assert isinstance(recall, list)
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
    """All slots are taken, and there are as many workers as may be: nothing changes."""
    return Scene(
        name="nothing changes",
        queued=queued,
        groups=(WorkerGroup(count=members),),
        maximum=members,
        desired=members,
        becomes=members,
    )


def changing(*, queued: int, members: int) -> tuple[Scene, ...]:
    """Half of the workers are to leave, have left, are to come back, are of the deployment before."""
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
        replace(deployment, name="a deployment's first look", unknown_tasks=True),
    )
