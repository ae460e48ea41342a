"""What most rules have in common: workers consume as soon as they can, and nobody minds who is idle."""

from __future__ import annotations

from bench.loads.load import Load
from bench.sim.ecs import STOP_TIMEOUT_S
from bench.sim.pool import Site
from bench.sim.workers import SimWorker


class Peer:
    """A rule that sets the service's desired count, and leaves the rest to ECS."""

    name = "peer"
    period_s = 60.0
    grace_s = STOP_TIMEOUT_S
    site: Site

    def begin(self, site: Site) -> None:
        self.site = site

    def ready(self, worker: SimWorker) -> None:
        self.site.fleet.consume(worker)

    def idle(self, worker: SimWorker) -> None:
        """Stays where it is."""


class StaticPeak(Peer):
    """All are there from the begin to the end."""

    name = "static-peak"

    def __init__(self, load: Load, *, slots: int) -> None:
        self._workers = -(-peak(load) // slots)

    def begin(self, site: Site) -> None:
        super().begin(site)
        site.ecs.set_desired(site.within_limits(self._workers))

    def look(self) -> None:
        """Nothing ever changes."""


def peak(load: Load) -> int:
    """The most tasks that would run at once if none had to wait."""
    changes = [(arrival, 1) for arrival in load.arrivals]
    changes += [(arrival + duration, -1) for arrival, duration in zip(load.arrivals, load.durations, strict=True)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
