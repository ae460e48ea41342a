"""Samples the running stack once a second: its backlog, its workers, and whether ECS could stop one with tasks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import redis
from botocore.exceptions import BotoCoreError, ClientError

from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, WORKER, Member
from fleet.pools import lists_of
from local.stack.up import DEFAULT_POOL, Stack
from local.ui.decisions import Decision, read_decisions

EVERY_S = 1.0
DEFAULT_QUEUE = "default"
DECISIONS_KEPT = 500  # by the registry
# An idle worker waits 2 s before it gives up protection, so a report this recent still holds when ECS is asked.
FRESH_S = 1.5

T = TypeVar("T")


class Sampler(Generic[T]):
    """Takes a sample each second in a thread of its own until it is closed; a failed read leaves a gap, not a zero."""

    def __init__(self, take: Callable[[], T], *, name: str) -> None:
        self._take = take
        self._closing = threading.Event()
        self.samples: list[T] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(redis.RedisError, BotoCoreError, ClientError):
                self.samples.append(self._take())
            self._closing.wait(EVERY_S)


@dataclass(frozen=True, kw_only=True)
class WorkerSample:
    """The default pool's workers at `at` (monotonic seconds); those `exposed`, of all pools, have tasks unprotected."""

    at: float
    desired: int
    running: int
    queued: int
    workers: tuple[Member, ...]
    exposed: tuple[str, ...]

    @property
    def active(self) -> int:
        """The number of tasks that run on workers."""
        return sum(worker.active for worker in self.workers)

    @property
    def consuming(self) -> int:
        """The number of workers that take messages."""
        return self._count(CONSUMING)

    @property
    def starting(self) -> int:
        """The number of workers that have never consumed."""
        return self._count(STARTING)

    @property
    def draining(self) -> int:
        """The number of workers that drain or have drained."""
        return self._count(DRAINING, DRAINED)

    @property
    def draining_busy(self) -> int:
        """The number of workers that drain and still have tasks."""
        return sum(worker.state == DRAINING and worker.active > 0 for worker in self.workers)

    def _count(self, *states: str) -> int:
        return sum(worker.state in states for worker in self.workers)


class WorkerSampler(Sampler[WorkerSample]):
    """Samples the default pool's workers."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        super().__init__(self._sample, name="workers")

    def latest(self, *, within_s: float = 5.0) -> WorkerSample | None:
        """Return the last sample; None when it is older than `within_s`."""
        last = self.samples[-1] if self.samples else None
        return last if last is not None and time.monotonic() - last.at <= within_s else None

    def since(self, at: float) -> list[WorkerSample]:
        """Return the samples taken since a monotonic time."""
        return [sample for sample in list(self.samples) if sample.at >= at]

    def _sample(self) -> WorkerSample:
        service = self._stack.worker_service()
        roster = self._stack.registry.members()
        workers = tuple(member for member in roster.members if member.role == WORKER)
        busy = {w.task_arn: w.id for w in workers if w.active and roster.read_at - w.last_seen <= FRESH_S}
        return WorkerSample(
            at=time.monotonic(),
            desired=service["desiredCount"],
            running=service["runningCount"],
            queued=backlog(self._stack.broker),
            workers=tuple(worker for worker in workers if worker.pool == DEFAULT_POOL),
            exposed=tuple(busy[arn] for arn in self._unprotected(list(busy))),
        )

    def _unprotected(self, arns: list[str]) -> list[str]:
        if not arns:
            return []
        cluster = self._stack.outputs["ClusterName"]
        answer = self._stack.clients.ecs.get_task_protection(cluster=cluster, tasks=arns)
        # A task that is not listed has ended since; Airflow knows how its tasks ended.
        return [p["taskArn"] for p in answer["protectedTasks"] if not p["protectionEnabled"]]


def backlog(broker: redis.Redis, queue: str = DEFAULT_QUEUE) -> int:
    """Count the messages that wait in a queue. Raises redis.RedisError."""
    with broker.pipeline(transaction=False) as pipe:
        for name in lists_of(queue):
            pipe.llen(name)
        return sum(pipe.execute())


def decisions(stack: Stack) -> list[Decision]:
    """Return the autoscaler's decisions about the default pool, oldest first."""
    found = read_decisions(stack.broker, [DEFAULT_POOL], DECISIONS_KEPT).found
    return [decision for decision in found if decision["pool"] == DEFAULT_POOL]
