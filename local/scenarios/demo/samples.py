"""Records once a second the backlog, workers and running tasks that the demonstration reports."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fleet.member import CONSUMING, DRAINED, DRAINING
from local.scenarios.sampling import Sampler, backlog
from local.stack.up import Stack


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One second; `t` in seconds since the recorder's start, `waiting` are tasks that no worker has taken yet."""

    t: float
    waiting: int
    backlog: int
    active: int
    desired: int
    running: int
    pending: int
    consuming: int
    draining: int


class Recorder(Sampler[Sample]):
    """Samples the stack; the caller sets `waiting`, which only Airflow knows."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.started_at = time.time()  # seconds since the epoch
        self.waiting = 0
        super().__init__(self._sample, name="samples")

    def latest(self) -> Sample | None:
        """Return the last sample."""
        return self.samples[-1] if self.samples else None

    def _sample(self) -> Sample:
        service = self._stack.worker_service()
        workers = self._stack.workers().members
        return Sample(
            t=time.time() - self.started_at,
            waiting=self.waiting,
            backlog=backlog(self._stack.broker),
            active=sum(m.active for m in workers),
            desired=service["desiredCount"],
            running=service["runningCount"],
            pending=service["pendingCount"],
            consuming=sum(m.state == CONSUMING for m in workers),
            draining=sum(m.state in (DRAINING, DRAINED) for m in workers),
        )
