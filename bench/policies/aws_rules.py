"""The scaling rules of AWS's own services, as AWS documents them."""

from __future__ import annotations

import math

from bench.policies.peer import Peer
from bench.sim.workers import SimWorker

WARM_UP_S = 180.0  # an idle worker does not leave earlier


class MwaaToday(Peer):
    """Amazon MWAA today: adds workers up to ceil((queued + running) / slots) at each tick; idle workers leave.

    Source: Amazon MWAA User Guide, "Configuring Amazon MWAA worker automatic scaling": the workers needed are (tasks
    running + tasks queued) / (tasks per worker), computed each minute; workers without a task are removed.
    A `period_s` other than a minute shows what a shorter period alone would gain.
    """

    name = "mwaa-today"

    def __init__(self, *, period_s: float = 60.0) -> None:
        self.period_s = period_s
        self._warm_at: dict[SimWorker, float] = {}

    def tick(self) -> None:
        pool, ecs = self.pool, self.pool.ecs
        needed = pool.within_limits(-(-pool.demand // pool.slots))
        if needed > ecs.desired:
            ecs.set_desired(needed)
        now = pool.clock.now
        idle = [w for w, warm_at in self._warm_at.items() if not w.tasks and warm_at <= now]
        for worker in idle[: max(0, ecs.desired - max(needed, pool.minimum))]:
            del self._warm_at[worker]
            ecs.leave(worker)

    def ready(self, worker: SimWorker) -> None:
        super().ready(worker)
        self._warm_at[worker] = self.pool.clock.now + WARM_UP_S


EMPTY_FOR_S = 120.0


class Mwaa2023(Peer):
    """Amazon MWAA until 2023: scales out each minute, and in to the minimum once there was no task for two minutes.

    Source: the same page of the user guide, as of 2023: when there are no tasks for 2 minutes, workers are removed down
    to the minimum, and Fargate gives each 120 s to end what it got meanwhile.
    """

    name = "mwaa-2023"

    def __init__(self) -> None:
        self._empty_since: float | None = None

    def tick(self) -> None:
        pool, ecs, now = self.pool, self.pool.ecs, self.pool.clock.now
        needed = pool.within_limits(-(-pool.demand // pool.slots))
        if pool.demand:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        if needed > ecs.desired:
            ecs.set_desired(needed)
        elif self._empty_since is not None and now - self._empty_since >= EMPTY_FOR_S and ecs.desired > pool.minimum:
            ecs.set_desired(pool.minimum)


OUT_AFTER_PERIODS = 3
IN_AFTER_PERIODS = 15
IN_BELOW = 0.9  # of the target
COOLDOWN_S = 300.0


class TargetTracking(Peer):
    """ECS service auto scaling by target tracking on the backlog per ECS task; ECS chooses which workers stop.

    Source: Application Auto Scaling User Guide, "Target tracking scaling policies": a metric of one-minute periods;
    scale out after 3 periods above the target, in after 15 below 90 % of it; the new count is proportional to the
    metric; cooldowns of 300 s. The metric counts queued and running tasks, and the target is a worker's slots: with
    queued tasks alone the rule would stop busy workers as soon as nothing is queued.
    """

    name = "target-tracking"

    def __init__(self) -> None:
        self._above = self._below = 0
        self._changed_at = -math.inf

    def tick(self) -> None:
        pool, ecs = self.pool, self.pool.ecs
        tasks = max(1, ecs.desired)  # without workers, the backlog is that of one worker
        load = pool.demand / tasks / pool.slots
        self._above = self._above + 1 if load > 1 else 0
        self._below = self._below + 1 if load < IN_BELOW else 0
        if pool.clock.now - self._changed_at < COOLDOWN_S:
            return
        wanted = pool.within_limits(math.ceil(tasks * load))
        out = self._above >= OUT_AFTER_PERIODS and wanted > ecs.desired
        if out or (self._below >= IN_AFTER_PERIODS and wanted < ecs.desired):
            ecs.set_desired(wanted)
            self._changed_at = pool.clock.now
