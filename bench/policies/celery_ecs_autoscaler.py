"""The package celery-ecs-autoscaler: its own decision function and cooldowns, with its defaults.

Source: `calculate_next_ecs_task_count` and `run_target_once` of version 1.0.0. Only its highest count (20) is not kept:
all policies have the same limits.
"""

from __future__ import annotations

from celery_ecs_autoscaler import AppConfig, CooldownStore, ScalingAction, calculate_next_ecs_task_count
from celery_ecs_autoscaler.targets import EcsServiceTarget

from bench.policies.base import Peer

TARGET = "workers"


class CeleryEcsAutoscaler(Peer):
    """Queue length per slot, running tasks not counted: it scales in workers that are busy."""

    name = "celery-ecs-autoscaler"
    period_s = float(AppConfig.poll_seconds)

    def __init__(self) -> None:
        self._cooldowns = CooldownStore()

    def look(self) -> None:
        site, ecs, now = self.site, self.site.ecs, self.site.clock.now
        decision = calculate_next_ecs_task_count(
            queued=site.fleet.queued,
            current_ecs_tasks=ecs.desired,
            worker_concurrency=site.slots,
            target_pressure=EcsServiceTarget.target_pressure,
            scale_in_pressure=EcsServiceTarget.scale_in_pressure,
            min_tasks=max(site.minimum, EcsServiceTarget.min_tasks),
            max_tasks=site.maximum,
            scale_out_step=EcsServiceTarget.scale_out_step,
            scale_in_step=EcsServiceTarget.scale_in_step,
        )
        out = decision.action is ScalingAction.SCALE_OUT
        pause_s = EcsServiceTarget.scale_out_cooldown_seconds if out else EcsServiceTarget.scale_in_cooldown_seconds
        if decision.next_tasks == ecs.desired or self._cooldowns.active(TARGET, decision.action, pause_s, now=now):
            return
        ecs.set_desired(decision.next_tasks)
        self._cooldowns.mark_scaled(TARGET, decision.action, now=now)
