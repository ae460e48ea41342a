"""The scaling rules of open-source autoscalers, as they are documented or packaged."""

from __future__ import annotations

from collections import deque

from celery_ecs_autoscaler import AppConfig, CooldownStore, ScalingAction, calculate_next_ecs_task_count
from celery_ecs_autoscaler.targets import EcsServiceTarget

from bench.policies.peer import Peer

STABILISATION_S = 300.0
COOLDOWN_S = 30.0
TOLERANCE = 0.1
PODS_A_PERIOD = 4


class Keda(Peer):
    """KEDA as Airflow's official Helm chart sets it up. Kubernetes chooses which pods stop, regardless of their tasks.

    Sources: the chart's values.yaml (workers.keda: pollingInterval 5, cooldownPeriod 30, minReplicaCount 0, the query
    ceil((queued + running) / worker_concurrency), workers.terminationGracePeriodSeconds 600) and Kubernetes'
    documentation of the HorizontalPodAutoscaler (HPA), whose defaults the chart keeps: sync period 15 s, tolerance
    10 %, scale up by 100 % or 4 pods in 15 s, whichever is more, scale down to the highest recommendation of the last
    300 s.
    """

    name = "keda"
    period_s = 15.0
    grace_s = 600.0

    def __init__(self) -> None:
        self._recommended: deque[tuple[float, int]] = deque()
        self._demanded_at = 0.0

    def tick(self) -> None:
        pool, ecs, now = self.pool, self.pool.ecs, self.pool.clock.now
        metric = -(-pool.demand // pool.slots)
        if metric:
            self._demanded_at = now
        current = ecs.desired
        if current == 0:
            if metric:
                ecs.set_desired(pool.within_limits(1))  # KEDA activates the deployment, then the HPA scales it
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
        wanted = pool.within_limits(wanted)
        if wanted != current:
            ecs.set_desired(wanted)


TARGET = "workers"


class CeleryEcsAutoscaler(Peer):
    """The package celery-ecs-autoscaler with its own decision function, cooldowns and defaults.

    It compares the queue's length with the slots and ignores running tasks, so it scales in busy workers. Source:
    `calculate_next_ecs_task_count` and `run_target_once` of version 1.0.0. Only its maximum (20 workers) is not kept:
    all policies have the same limits.
    """

    name = "celery-ecs-autoscaler"
    period_s = float(AppConfig.poll_seconds)

    def __init__(self) -> None:
        self._cooldowns = CooldownStore()

    def tick(self) -> None:
        pool, ecs, now = self.pool, self.pool.ecs, self.pool.clock.now
        decision = calculate_next_ecs_task_count(
            queued=pool.workers.queued,
            current_ecs_tasks=ecs.desired,
            worker_concurrency=pool.slots,
            target_pressure=EcsServiceTarget.target_pressure,
            scale_in_pressure=EcsServiceTarget.scale_in_pressure,
            min_tasks=max(pool.minimum, EcsServiceTarget.min_tasks),
            max_tasks=pool.maximum,
            scale_out_step=EcsServiceTarget.scale_out_step,
            scale_in_step=EcsServiceTarget.scale_in_step,
        )
        out = decision.action is ScalingAction.SCALE_OUT
        pause_s = EcsServiceTarget.scale_out_cooldown_seconds if out else EcsServiceTarget.scale_in_cooldown_seconds
        if decision.next_tasks == ecs.desired or self._cooldowns.active(TARGET, decision.action, pause_s, now=now):
            return
        ecs.set_desired(decision.next_tasks)
        self._cooldowns.mark_scaled(TARGET, decision.action, now=now)
