"""Amazon MWAA's scaling today: workers are added to the demand, idle ones leave by themselves.

Source: Amazon MWAA User Guide, "Configuring Amazon MWAA worker automatic scaling": the workers needed are (tasks
running + tasks queued) / (tasks per worker), looked at each minute; of the workers, those without a task go.
"""

from __future__ import annotations

from bench.policies.base import Peer
from bench.sim.worker import SimWorker

WARM_UP_S = 180.0  # an idle worker does not leave before


class MwaaToday(Peer):
    """At each look as many are added as are missing to ceil((queued + running) / slots), and idle workers leave.

    `period_s` other than a minute shows what looking faster alone would gain.
    """

    name = "mwaa-today"

    def __init__(self, *, period_s: float = 60.0) -> None:
        self.period_s = period_s
        self._warm_at: dict[SimWorker, float] = {}

    def look(self) -> None:
        site, ecs = self.site, self.site.ecs
        needed = site.within_limits(-(-site.demand // site.slots))
        if needed > ecs.desired:
            ecs.set_desired(needed)
        now = site.clock.now
        idle = [w for w, warm_at in self._warm_at.items() if not w.tasks and warm_at <= now]
        for worker in idle[: max(0, ecs.desired - max(needed, site.minimum))]:
            del self._warm_at[worker]
            ecs.leave(worker)

    def ready(self, worker: SimWorker) -> None:
        super().ready(worker)
        self._warm_at[worker] = self.site.clock.now + WARM_UP_S
