"""The simulated pool, and the interface of the scaling policies that scale it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.sim.clock import Clock
from bench.sim.ecs import Ecs
from bench.sim.workers import SimWorker, Workers


@dataclass(frozen=True, kw_only=True)
class SimPool:
    """A simulated pool. `seed` is for a policy's own random numbers."""

    clock: Clock
    workers: Workers
    ecs: Ecs
    slots: int
    minimum: int
    maximum: int
    seed: int

    @property
    def demand(self) -> int:
        """The number of queued and active tasks."""
        return len(self.workers.queue) + self.workers.active

    def within_limits(self, workers: int) -> int:
        """Return the number of workers within the pool's minimum and maximum."""
        return min(self.maximum, max(self.minimum, workers))


class Scaler(Protocol):
    """A scaling policy. `grace_s` is the time that its workers have between SIGTERM and SIGKILL."""

    name: str
    period_s: float
    grace_s: float

    def begin(self, pool: SimPool) -> None:
        """Prepare; called once, before the simulation starts."""

    def tick(self) -> float | None:
        """Scale the pool; called every `period_s`, from a random phase on.

        Returns a time: the ticks before it may be skipped as long as nothing else happens, see `Clock.regularly`. None
        skips none.
        """

    def ready(self, worker: SimWorker) -> None:
        """Handle a worker that has booted."""

    def idle(self, worker: SimWorker) -> None:
        """Handle a worker that has just ended its last task."""
