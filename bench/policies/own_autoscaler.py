"""The autoscaler's own `decide` as a policy of the simulation."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from autoscaler.decide import decide
from autoscaler.glance import GLANCE_EVERY_S
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Observation, Service
from autoscaler.policy import Policy
from bench.policies.skipped_ticks import QuietPeriod, memory_after_quiet_period, quiet_period_after
from bench.sim.ecs import STOP_TIMEOUT_S
from bench.sim.forecaster import Forecaster
from bench.sim.pool import SimPool
from bench.sim.registry import SimRegistry
from bench.sim.workers import SimWorker, WorkerState
from fleet.forecast import Forecast
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

# The contract of the fleet agent; measured: an order is obeyed within 1.2 s.
OBEYS_WITHIN_S = 2.0
IDLE_CONFIRMED_AFTER_S = 2.0
ASKS_AGAIN_AFTER_S = 2.0  # when ECS refused protection
QUEUE = "default"


class OwnAutoscaler:
    """The Lambda's decision with the fleet agent's protocol; `forecaster` is the simulated one, if any."""

    def __init__(
        self, policy: Policy, *, period_s: float, name: str = "ours", forecaster: Forecaster | None = None
    ) -> None:
        self.name, self.period_s, self.grace_s = name, period_s, STOP_TIMEOUT_S
        self._forecaster = forecaster
        self._policy = policy
        self._memory = Memory()
        deployment = Deployment(id="ecs-svc/1", status="PRIMARY", task_definition="worker:1", running=0)
        self._service = Service(desired=0, running=0, pending=0, deployments=(deployment,))
        self._quiet: QuietPeriod | None = None
        self._changes_seen = 0  # the count of the workers' changes at the last tick
        self._last_skipped_at: float | None = None  # since the last tick that was not skipped
        self._ticked_at: float | None = None
        self._waited = 0  # the messages that waited at the last tick
        self._glances = False  # whether the next glance is planned

    def begin(self, pool: SimPool) -> None:
        self.pool = pool
        self._registry = SimRegistry(pool)
        self._dice = Random(f"orders {pool.seed}")
        pool.workers.when_queued = self._plan_glance
        if self._forecaster is not None:
            self._forecaster.begin(pool)

    def tick(self) -> float | None:
        """Decide and act, unless the tick could only repeat the last decision."""
        clock, changes, forecast, memory = self.pool.clock, self.pool.workers.changes, self._forecast(), self._memory
        now, quiet = clock.now, self._quiet
        self._ticked_at, self._waited = now, len(self.pool.workers.queue)
        if quiet is not None and changes == self._changes_seen and quiet.lasts(forecast, memory, now=now):
            self._last_skipped_at = now
            return self._skippable_until
        if clock.skipped_at is not None:
            self._last_skipped_at = clock.skipped_at
        if self._last_skipped_at is not None:
            memory = memory_after_quiet_period(memory, until=self._last_skipped_at)
        observation = self._observation(forecast)
        decision = decide(observation, self._policy, memory)
        self._memory = decision.memory
        self._quiet = quiet_period_after(observation, memory, decision, max_age_s=self._policy.max_age_s)
        self._changes_seen = changes
        self._last_skipped_at = None
        for name in decision.drain:
            self._order(name, ORDER_DRAIN)
        for name in decision.recall:
            self._order(name, ORDER_CONSUME)
        ecs = self.pool.ecs
        if decision.desired is not None and decision.desired != ecs.desired:
            ecs.set_desired(decision.desired)
        return self._skippable_until

    def _plan_glance(self) -> None:
        """Plan the next glance at the queues; glances without a new message change nothing, and are left out."""
        if self._glances or self._ticked_at is None:
            return
        now = self.pool.clock.now
        glances = math.floor((now - self._ticked_at) / GLANCE_EVERY_S) + 1
        self._glances = True
        self.pool.clock.at(self._ticked_at + glances * GLANCE_EVERY_S, self._glance)

    def _glance(self, _: None) -> None:
        self._glances = False
        if len(self.pool.workers.queue) > self._waited:
            self.pool.clock.tick_now()

    @property
    def _skippable_until(self) -> float | None:
        """None with a forecaster, because decisions then depend on the forecast as well."""
        return None if self._quiet is None or self._forecaster is not None else self._quiet.until

    def ready(self, worker: SimWorker) -> None:
        """Register the worker; it consumes once it is protected."""
        worker.state = WorkerState.WAITING
        self._registry.add(worker)
        self._begin_to_consume(worker)

    def idle(self, worker: SimWorker) -> None:
        if worker.state is WorkerState.DRAINING:
            self.pool.clock.after(IDLE_CONFIRMED_AFTER_S, self._drained, (worker, worker.change))

    def _forecast(self) -> Forecast | None:
        return None if self._forecaster is None else self._forecaster.read()

    def _observation(self, forecast: Forecast | None) -> Observation:
        pool, desired, running = self.pool, self.pool.ecs.desired, self.pool.ecs.running
        if self._service.desired != desired or self._service.running != running:
            self._service = replace(self._service, desired=desired, running=running, pending=desired - running)
        return Observation(
            now=pool.clock.now,
            queued={QUEUE: len(pool.workers.queue)},
            fleet=self._registry.read(),
            service=self._service,
            forecast=forecast,
        )

    def _order(self, name: str, order: str) -> None:
        worker = self._registry[name]
        worker.order = order
        self.pool.workers.changed(worker)
        self.pool.clock.after(self._dice.random() * OBEYS_WITHIN_S, self._obey, (worker, order))

    def _obey(self, ordered: tuple[SimWorker, str]) -> None:
        worker, order = ordered
        if worker.order != order:
            return
        workers, state = self.pool.workers, worker.state
        if order == ORDER_DRAIN and state is WorkerState.CONSUMING:
            workers.stop_consuming(worker, state=WorkerState.DRAINING)
            if not worker.tasks:
                self.idle(worker)
        elif order == ORDER_DRAIN and state is WorkerState.WAITING:
            workers.stop_consuming(worker, state=WorkerState.DRAINED)
        elif order == ORDER_CONSUME and state is WorkerState.DRAINING:
            workers.consume(worker)
        elif order == ORDER_CONSUME and state is WorkerState.DRAINED:
            self._begin_to_consume(worker)

    def _begin_to_consume(self, worker: SimWorker) -> None:
        """Protect the worker, then let it consume; if protection is refused, try again later."""
        if worker.state not in (WorkerState.WAITING, WorkerState.DRAINED) or worker.order == ORDER_DRAIN:
            return
        if self.pool.ecs.protect(worker):
            self.pool.workers.consume(worker)
        else:
            self.pool.clock.after(ASKS_AGAIN_AFTER_S, self._begin_to_consume, worker)

    def _drained(self, confirmed: tuple[SimWorker, int]) -> None:
        worker, change = confirmed
        if worker.state is WorkerState.DRAINING and worker.change == change:
            self.pool.workers.stop_consuming(worker, state=WorkerState.DRAINED)
            self.pool.ecs.unprotect(worker)
