"""What a scaling policy works on: a pool in the simulated world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.sim.clock import Clock
from bench.sim.ecs import Ecs
from bench.sim.workers import SimWorker, Workers


@dataclass(frozen=True, kw_only=True)
class SimPool:
    """`seed` is for a policy's own dice."""

    clock: Clock
    workers: Workers
    ecs: Ecs
    slots: int
    minimum: int
    maximum: int
    seed: int

    @property
    def demand(self) -> int:
        """Tasks that wait or run."""
        return len(self.workers.queue) + self.workers.active

    def within_limits(self, workers: int) -> int:
        return min(self.maximum, max(self.minimum, workers))


class Scaler(Protocol):
    """A scaling policy. `grace_s` is what its workers get between SIGTERM and SIGKILL."""

    name: str
    period_s: float
    grace_s: float

    def begin(self, pool: SimPool) -> None:
        """Called once, before anything happens."""

    def tick(self) -> float | None:
        """Called every `period_s`, beginning at a random phase. The looks before the time that it returns may be spared
        for as long as nothing else happens, see Clock.regularly; None spares none.
        """

    def ready(self, worker: SimWorker) -> None:
        """Called with a worker that has booted."""

    def idle(self, worker: SimWorker) -> None:
        """Called with a worker that has just ended its last task."""
