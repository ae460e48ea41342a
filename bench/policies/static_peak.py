"""A fixed number of workers, enough for the most tasks that ever run at once."""

from __future__ import annotations

from bench.loads.load import Load
from bench.policies.base import Peer
from bench.sim.site import Site


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
