"""Amazon MWAA's scaling as it was until 2023: down to the minimum at once, when nothing has been left for a while.

Source: Amazon MWAA User Guide, "Configuring Amazon MWAA worker automatic scaling": workers needed are (tasks running +
tasks queued) / (tasks per worker); when there are no tasks for 2 minutes, workers are removed down to the minimum, and
Fargate gives each 120 s to end what it got meanwhile.
"""

from __future__ import annotations

from bench.policies.base import Peer

EMPTY_FOR_S = 120.0


class Mwaa2023(Peer):
    """Out each minute; in only when nothing waits or runs for two minutes on end, as looked at each minute."""

    name = "mwaa-2023"

    def __init__(self) -> None:
        self._empty_since: float | None = None

    def look(self) -> None:
        site, ecs, now = self.site, self.site.ecs, self.site.clock.now
        needed = site.within_limits(-(-site.demand // site.slots))
        if site.demand:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        if needed > ecs.desired:
            ecs.set_desired(needed)
        elif self._empty_since is not None and now - self._empty_since >= EMPTY_FOR_S and ecs.desired > site.minimum:
            ecs.set_desired(site.minimum)
