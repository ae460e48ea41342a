"""The autoscaler's own `decide`, put to work in the simulated world."""

from __future__ import annotations

from random import Random

from autoscaler.decide import decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from bench.ecs import CONTAINER_START_S, STOP_TIMEOUT_S
from bench.forecaster import Forecaster
from bench.site import Site
from bench.worker import SimWorker, Stage
from fleet.registry import CONSUMING, DRAINED, DRAINING, ORDER_CONSUME, ORDER_DRAIN, STARTING

# Measured of the agent: an order is obeyed within 1.2 s; contract: 2 s.
OBEYS_WITHIN_S = 2.0
IDLE_CONFIRMED_AFTER_S = 2.0
ASKS_AGAIN_AFTER_S = 2.0  # for protection that was refused
QUEUE = "default"
STATES = {
    Stage.WAITING: STARTING,
    Stage.CONSUMING: CONSUMING,
    Stage.DRAINING: DRAINING,
    Stage.DRAINED: DRAINED,
}


class Ours:
    """The fleet agent's protocol around the Lambda's decision; `forecaster`: the one beside the scheduler, if any."""

    grace_s = STOP_TIMEOUT_S

    def __init__(
        self, policy: Policy, *, period_s: float, name: str = "ours", forecaster: Forecaster | None = None
    ) -> None:
        self.name, self.period_s = name, period_s
        self._forecaster = forecaster
        self._policy = policy
        self._memory = Memory()
        self._deployment = (Deployment(id="ecs-svc/1", status="PRIMARY", task_definition="worker:1", running=0),)
        self._registered: dict[str, SimWorker] = {}
        self._started_at: dict[str, float] = {}

    def begin(self, site: Site) -> None:
        self.site = site
        self._dice = Random(f"orders {site.seed}")
        if self._forecaster is not None:
            self._forecaster.begin(site)

    def look(self) -> None:
        decision = decide(self._observation(), self._policy, self._memory)
        self._memory = decision.memory
        for name in decision.drain:
            self._order(name, ORDER_DRAIN)
        for name in decision.recall:
            self._order(name, ORDER_CONSUME)
        ecs = self.site.ecs
        if decision.desired is not None and decision.desired != ecs.desired:
            ecs.set_desired(decision.desired)

    def ready(self, worker: SimWorker) -> None:
        """Registered as starting; it consumes once it is protected."""
        worker.stage = Stage.WAITING
        self._registered[str(worker.number)] = worker
        self._started_at[str(worker.number)] = self.site.clock.now - CONTAINER_START_S
        self._begin_to_consume(worker)

    def idle(self, worker: SimWorker) -> None:
        if worker.stage is Stage.DRAINING:
            self.site.clock.after(IDLE_CONFIRMED_AFTER_S, self._drained, (worker, worker.change))

    def _observation(self) -> Observation:
        site = self.site
        ecs = site.ecs
        gone = [name for name, worker in self._registered.items() if worker.stage not in STATES]
        for name in gone:
            del self._registered[name]
            del self._started_at[name]
        views = tuple([worker.view or self._view(worker) for worker in self._registered.values()])
        return Observation(
            now=site.clock.now,
            queued={QUEUE: len(site.fleet.queue)},
            fleet=Fleet(workers=views),
            service=Service(
                desired=ecs.desired,
                running=ecs.running,
                pending=ecs.desired - ecs.running,
                deployments=self._deployment,
            ),
            forecast=None if self._forecaster is None else self._forecaster.read(),
        )

    def _view(self, worker: SimWorker) -> Worker:
        view = Worker(
            id=str(worker.number),
            state=STATES[worker.stage],
            active=len(worker.tasks),
            slots=self.site.slots,
            protected=worker.protected,
            order=worker.order,
            started_at=self._started_at[str(worker.number)],
        )
        worker.view = view
        return view

    def _order(self, name: str, order: str) -> None:
        worker = self._registered[name]
        worker.order = order
        worker.view = None
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
            worker.view = None
        elif order == ORDER_CONSUME and stage is Stage.DRAINED:
            self._begin_to_consume(worker)

    def _begin_to_consume(self, worker: SimWorker) -> None:
        """Protection first; refused, it is asked for again."""
        if worker.stage not in (Stage.WAITING, Stage.DRAINED) or worker.order == ORDER_DRAIN:
            return
        if self.site.ecs.protect(worker):
            self.site.fleet.consume(worker)
            worker.view = None
        else:
            self.site.clock.after(ASKS_AGAIN_AFTER_S, self._begin_to_consume, worker)

    def _drained(self, confirmed: tuple[SimWorker, int]) -> None:
        worker, change = confirmed
        if worker.stage is Stage.DRAINING and worker.change == change:
            self.site.fleet.cancel(worker, stage=Stage.DRAINED)
            self.site.ecs.unprotect(worker)
