"""What most rules have in common: workers consume as soon as they can, and nobody minds who is idle."""

from __future__ import annotations

from bench.sim.ecs import STOP_TIMEOUT_S
from bench.sim.site import Site
from bench.sim.worker import SimWorker


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
