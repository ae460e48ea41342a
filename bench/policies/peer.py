"""The base of other systems' rules: they set the desired count, and workers consume as soon as they can."""

from __future__ import annotations

from bench.loads.load import Load
from bench.sim.ecs import STOP_TIMEOUT_S
from bench.sim.pool import SimPool
from bench.sim.workers import SimWorker


class Peer:
    """A rule that sets the service's desired count and leaves everything else to ECS."""

    name = "peer"
    period_s = 60.0
    grace_s = STOP_TIMEOUT_S
    pool: SimPool

    def begin(self, pool: SimPool) -> None:
        self.pool = pool

    def ready(self, worker: SimWorker) -> None:
        self.pool.workers.consume(worker)

    def idle(self, worker: SimWorker) -> None:
        """Do nothing: an idle worker stays."""


class StaticPeak(Peer):
    """A fixed number of workers, enough for the most tasks that ever run at once."""

    name = "static-peak"

    def __init__(self, load: Load, *, slots: int) -> None:
        self._workers = -(-peak(load) // slots)

    def begin(self, pool: SimPool) -> None:
        super().begin(pool)
        pool.ecs.set_desired(pool.within_limits(self._workers))

    def tick(self) -> None:
        """Do nothing: the number of workers is fixed."""


def peak(load: Load) -> int:
    """Return the most tasks that would run at once if none had to wait."""
    changes = [(arrival, 1) for arrival in load.arrivals]
    changes += [(arrival + duration, -1) for arrival, duration in zip(load.arrivals, load.durations, strict=True)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
