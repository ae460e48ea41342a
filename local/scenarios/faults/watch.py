"""Looks every second at what the workers do, and at whether ECS could stop one that has tasks."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

import redis
from botocore.exceptions import BotoCoreError, ClientError

from fleet.registry import CONSUMING, DRAINED, DRAINING, STARTING, Member
from local.scenarios.demo.samples import backlog
from local.stack.up import Stack

EVERY_S = 1.0
# An idle worker waits 2 s before it gives protection up, so what it said this recently still holds when ECS is asked.
FRESH_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One moment. `exposed`: workers with tasks that ECS does not protect."""

    at: float
    desired: int
    running: int
    queued: int
    workers: tuple[Member, ...]
    exposed: tuple[str, ...]

    @property
    def active(self) -> int:
        """Tasks that run on workers."""
        return sum(worker.active for worker in self.workers)

    def count(self, *states: str) -> int:
        """Count the workers in any of these states."""
        return sum(worker.state in states for worker in self.workers)

    @property
    def consuming(self) -> int:
        """Workers that take messages."""
        return self.count(CONSUMING)

    @property
    def starting(self) -> int:
        """Workers that have never consumed."""
        return self.count(STARTING)

    @property
    def draining(self) -> int:
        """Workers that drain or have drained."""
        return self.count(DRAINING, DRAINED)

    @property
    def draining_busy(self) -> int:
        """Workers that drain and still have tasks."""
        return sum(worker.state == DRAINING and worker.active > 0 for worker in self.workers)


class Watch:
    """Takes a sight a second in a thread of its own until it is closed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._closing = threading.Event()
        self.sights: list[Sight] = []
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def latest(self, *, within_s: float = 5.0) -> Sight | None:
        """Return the last sight, unless there has been none for a while."""
        last = self.sights[-1] if self.sights else None
        return last if last is not None and time.monotonic() - last.at <= within_s else None

    def since(self, at: float) -> list[Sight]:
        """Return what was seen since a monotonic time."""
        return [sight for sight in list(self.sights) if sight.at >= at]

    def _run(self) -> None:
        while not self._closing.is_set():
            # While the broker is away there is nothing to see; that is a gap, not a zero.
            with contextlib.suppress(redis.RedisError, BotoCoreError, ClientError):
                self.sights.append(self._look())
            self._closing.wait(EVERY_S)

    def _look(self) -> Sight:
        service = self._stack.worker_service()
        roster = self._stack.workers()
        workers = roster.members
        busy = {w.task_arn: w.id for w in workers if w.active and roster.read_at - w.last_seen <= FRESH_S}
        return Sight(
            at=time.monotonic(),
            desired=service["desiredCount"],
            running=service["runningCount"],
            queued=backlog(self._stack.broker),
            workers=workers,
            exposed=tuple(busy[arn] for arn in self._unprotected(list(busy))),
        )

    def _unprotected(self, arns: list[str]) -> list[str]:
        if not arns:
            return []
        cluster = self._stack.outputs["ClusterName"]
        answer = self._stack.clients.ecs.get_task_protection(cluster=cluster, tasks=arns)
        # One that is not listed has ended since: how its tasks fared, Airflow knows.
        return [p["taskArn"] for p in answer["protectedTasks"] if not p["protectionEnabled"]]
