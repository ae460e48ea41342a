"""KEDA as the official Airflow Helm chart sets it up.

Sources: the chart's values.yaml (workers.keda: pollingInterval 5, cooldownPeriod 30, minReplicaCount 0, the query
ceil((queued + running) / worker_concurrency), workers.terminationGracePeriodSeconds 600) and Kubernetes' documentation
of the HorizontalPodAutoscaler, whose defaults the chart keeps: sync period 15 s, tolerance 10 %, scale up by 100 % or
4 pods a 15 s, whichever is more, scale down to the highest recommendation of the last 300 s.
"""

from __future__ import annotations

from collections import deque

from bench.policies.base import Peer

STABILISATION_S = 300.0
COOLDOWN_S = 30.0
TOLERANCE = 0.1
PODS_A_PERIOD = 4


class Keda(Peer):
    """The HPA lets Kubernetes choose the pods that go: at random, as seen by the tasks."""

    name = "keda"
    period_s = 15.0
    grace_s = 600.0

    def __init__(self) -> None:
        self._recommended: deque[tuple[float, int]] = deque()
        self._demanded_at = 0.0

    def look(self) -> None:
        site, ecs, now = self.site, self.site.ecs, self.site.clock.now
        metric = -(-site.demand // site.slots)
        if metric:
            self._demanded_at = now
        current = ecs.desired
        if current == 0:
            if metric:
                ecs.set_desired(site.within_limits(1))  # KEDA wakes the deployment; the HPA goes on from there
            return
        recommended = metric if abs(metric / current - 1) > TOLERANCE else current
        recommended = max(1, recommended)  # the HPA's own minimum; only KEDA goes to zero
        self._recommended.append((now, recommended))
        while self._recommended[0][0] < now - STABILISATION_S:
            self._recommended.popleft()
        if recommended > current:
            wanted = min(recommended, max(2 * current, current + PODS_A_PERIOD))
        else:
            wanted = min(current, max(count for _, count in self._recommended))
        if wanted == 1 and not metric and now - self._demanded_at >= COOLDOWN_S:
            wanted = 0
        wanted = site.within_limits(wanted)
        if wanted != current:
            ecs.set_desired(wanted)
