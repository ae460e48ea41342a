"""The autoscaler's own `decide`, put to work in the simulated world."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from autoscaler.decide import decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Observation, Service
from autoscaler.policy import Policy
from bench.policies.skipped_ticks import Rest, after_rest, rest_after
from bench.sim.ecs import STOP_TIMEOUT_S
from bench.sim.forecaster import Forecaster
from bench.sim.pool import Site
from bench.sim.registry import SimRegistry
from bench.sim.workers import SimWorker, Stage
from fleet.forecast import Forecast
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

# Measured of the agent: an order is obeyed within 1.2 s; contract: 2 s.
OBEYS_WITHIN_S = 2.0
IDLE_CONFIRMED_AFTER_S = 2.0
ASKS_AGAIN_AFTER_S = 2.0  # for protection that was refused
QUEUE = "default"


class Ours:
    """The fleet agent's protocol around the Lambda's decision; `forecaster`: the one beside the scheduler, if any."""

    def __init__(
        self, policy: Policy, *, period_s: float, name: str = "ours", forecaster: Forecaster | None = None
    ) -> None:
        self.name, self.period_s, self.grace_s = name, period_s, STOP_TIMEOUT_S
        self._forecaster = forecaster
        self._policy = policy
        self._memory = Memory()
        deployment = Deployment(id="ecs-svc/1", status="PRIMARY", task_definition="worker:1", running=0)
        self._service = Service(desired=0, running=0, pending=0, deployments=(deployment,))
        self._rest: Rest | None = None
        self._changes_seen = 0  # by the last look, of the fleet's count
        self._rested_until: float | None = None  # the last look that was spared since then

    def begin(self, site: Site) -> None:
        self.site = site
        self._registry = SimRegistry(site)
        self._dice = Random(f"orders {site.seed}")
        if self._forecaster is not None:
            self._forecaster.begin(site)

    def look(self) -> float | None:
        """A look that could only repeat the last decision is spared."""
        clock, changes, forecast, memory = self.site.clock, self.site.fleet.changes, self._forecast(), self._memory
        now, rest = clock.now, self._rest
        if rest is not None and changes == self._changes_seen and rest.lasts(forecast, memory, now=now):
            self._rested_until = now
            return self._spared_until
        if clock.spared_at is not None:
            self._rested_until = clock.spared_at
        if self._rested_until is not None:
            memory = after_rest(memory, until=self._rested_until)
        observation = self._observation(forecast)
        decision = decide(observation, self._policy, memory)
        self._memory = decision.memory
        self._rest, self._changes_seen = rest_after(observation, memory, decision), changes
        self._rested_until = None
        for name in decision.drain:
            self._order(name, ORDER_DRAIN)
        for name in decision.recall:
            self._order(name, ORDER_CONSUME)
        ecs = self.site.ecs
        if decision.desired is not None and decision.desired != ecs.desired:
            ecs.set_desired(decision.desired)
        return self._spared_until

    @property
    def _spared_until(self) -> float | None:
        """With a forecaster, what it foretells decides as well."""
        return None if self._rest is None or self._forecaster is not None else self._rest.until

    def ready(self, worker: SimWorker) -> None:
        """Registered as starting; it consumes once it is protected."""
        worker.stage = Stage.WAITING
        self._registry.add(worker)
        self._begin_to_consume(worker)

    def idle(self, worker: SimWorker) -> None:
        if worker.stage is Stage.DRAINING:
            self.site.clock.after(IDLE_CONFIRMED_AFTER_S, self._drained, (worker, worker.change))

    def _forecast(self) -> Forecast | None:
        return None if self._forecaster is None else self._forecaster.read()

    def _observation(self, forecast: Forecast | None) -> Observation:
        site, desired, running = self.site, self.site.ecs.desired, self.site.ecs.running
        if self._service.desired != desired or self._service.running != running:
            self._service = replace(self._service, desired=desired, running=running, pending=desired - running)
        return Observation(
            now=site.clock.now,
            queued={QUEUE: len(site.fleet.queue)},
            fleet=self._registry.read(),
            service=self._service,
            forecast=forecast,
        )

    def _order(self, name: str, order: str) -> None:
        worker = self._registry[name]
        worker.order = order
        self.site.fleet.changed(worker)
        self.site.clock.after(self._dice.random() * OBEYS_WITHIN_S, self._obey, (worker, order))

    def _obey(self, ordered: tuple[SimWorker, str]) -> None:
        worker, order = ordered
        if worker.order != order:
            return
        fleet, stage = self.site.fleet, worker.stage
        if order == ORDER_DRAIN and stage is Stage.CONSUMING:
            fleet.cancel(worker, stage=Stage.DRAINING)
            if not worker.tasks:
                self.idle(worker)
        elif order == ORDER_DRAIN and stage is Stage.WAITING:
            fleet.cancel(worker, stage=Stage.DRAINED)
        elif order == ORDER_CONSUME and stage is Stage.DRAINING:
            fleet.consume(worker)
        elif order == ORDER_CONSUME and stage is Stage.DRAINED:
            self._begin_to_consume(worker)

    def _begin_to_consume(self, worker: SimWorker) -> None:
        """Protection first; refused, it is asked for again."""
        if worker.stage not in (Stage.WAITING, Stage.DRAINED) or worker.order == ORDER_DRAIN:
            return
        if self.site.ecs.protect(worker):
            self.site.fleet.consume(worker)
        else:
            self.site.clock.after(ASKS_AGAIN_AFTER_S, self._begin_to_consume, worker)

    def _drained(self, confirmed: tuple[SimWorker, int]) -> None:
        worker, change = confirmed
        if worker.stage is Stage.DRAINING and worker.change == change:
            self.site.fleet.cancel(worker, stage=Stage.DRAINED)
            self.site.ecs.unprotect(worker)
