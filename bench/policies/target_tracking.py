"""ECS service auto scaling by target tracking on the backlog per task.

Source: Application Auto Scaling User Guide, "Target tracking scaling policies": a metric of one-minute periods; scale
out after 3 periods above the target, in after 15 below 90 % of it; the new count is proportional to the metric;
cooldowns of 300 s. A backlog is taken for what waits and what runs, and the target for what a worker can run: read as
what waits alone, the rule would scale in busy workers as soon as nothing waits.
"""

from __future__ import annotations

import math

from bench.policies.base import Peer

OUT_AFTER_PERIODS = 3
IN_AFTER_PERIODS = 15
IN_BELOW = 0.9  # of the target
COOLDOWN_S = 300.0


class TargetTracking(Peer):
    """ECS chooses the tasks that go, whatever runs in them, and gives them stopTimeout."""

    name = "target-tracking"

    def __init__(self) -> None:
        self._above = self._below = 0
        self._changed_at = -math.inf

    def look(self) -> None:
        site, ecs = self.site, self.site.ecs
        tasks = max(1, ecs.desired)  # without a task to divide by, the whole backlog is one's
        load = site.demand / tasks / site.slots
        self._above = self._above + 1 if load > 1 else 0
        self._below = self._below + 1 if load < IN_BELOW else 0
        if site.clock.now - self._changed_at < COOLDOWN_S:
            return
        wanted = site.within_limits(math.ceil(tasks * load))
        out = self._above >= OUT_AFTER_PERIODS and wanted > ecs.desired
        if out or (self._below >= IN_AFTER_PERIODS and wanted < ecs.desired):
            ecs.set_desired(wanted)
            self._changed_at = site.clock.now
