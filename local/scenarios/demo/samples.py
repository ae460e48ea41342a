"""Records once a second what the stack is doing: backlog, workers and running tasks."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

import redis
from botocore.exceptions import BotoCoreError, ClientError

from fleet.queues import lists_of
from fleet.registry import CONSUMING, DRAINED, DRAINING
from local.stack.up import DEFAULT_POOL, Stack
from local.ui.decisions import Decision, find

EVERY_S = 1.0
DEFAULT_QUEUE = "default"
DECISIONS_KEPT = 500  # by the registry


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One moment; `t` in seconds since the recorder's start, `waiting` what Airflow has not yet given to a worker."""

    t: float
    waiting: int
    backlog: int
    active: int
    desired: int
    running: int
    pending: int
    consuming: int
    draining: int


class Recorder:
    """Takes samples in a thread of its own until it is closed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._started_at = time.time()
        self._closing = threading.Event()
        self.samples: list[Sample] = []
        self.waiting = 0  # set by whoever asks Airflow
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)
        self._thread.start()

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""
        return self._started_at

    def close(self) -> None:
        """Take no more samples."""
        self._closing.set()
        self._thread.join()

    def latest(self) -> Sample | None:
        """Return the last sample."""
        return self.samples[-1] if self.samples else None

    def _run(self) -> None:
        while not self._closing.is_set():
            # A gap in the picture is honest; a zero would not be.
            with contextlib.suppress(redis.RedisError, BotoCoreError, ClientError):
                self.samples.append(self._take())
            self._closing.wait(EVERY_S)

    def _take(self) -> Sample:
        service = self._stack.worker_service()
        workers = self._stack.workers().members
        return Sample(
            t=time.time() - self._started_at,
            waiting=self.waiting,
            backlog=backlog(self._stack.broker),
            active=sum(m.active for m in workers),
            desired=service["desiredCount"],
            running=service["runningCount"],
            pending=service["pendingCount"],
            consuming=sum(m.state == CONSUMING for m in workers),
            draining=sum(m.state in (DRAINING, DRAINED) for m in workers),
        )


def backlog(broker: redis.Redis, queue: str = DEFAULT_QUEUE) -> int:
    """Count the messages that wait in a queue."""
    with broker.pipeline(transaction=False) as pipe:
        for name in lists_of(queue):
            pipe.llen(name)
        return sum(pipe.execute())


def decisions(stack: Stack) -> list[Decision]:
    """Return the autoscaler's decisions about the default pool, oldest first."""
    return [decision for decision in find(stack.broker, DECISIONS_KEPT).decisions if decision["pool"] == DEFAULT_POOL]
