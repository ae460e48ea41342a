"""The simulated workers as the fleet registry shows them."""

from __future__ import annotations

from autoscaler.observation import Fleet, Worker
from bench.ecs import CONTAINER_START_S
from bench.site import Site
from bench.worker import SimWorker, Stage
from fleet.registry import CONSUMING, DRAINED, DRAINING, STARTING

STATES = {
    Stage.WAITING: STARTING,
    Stage.CONSUMING: CONSUMING,
    Stage.DRAINING: DRAINING,
    Stage.DRAINED: DRAINED,
}


class SimRegistry:
    """Those that have reported and have not ended, by name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._workers: dict[str, SimWorker] = {}
        self._started_at: dict[str, float] = {}

    def __getitem__(self, name: str) -> SimWorker:
        return self._workers[name]

    def add(self, worker: SimWorker) -> None:
        """A worker that has booted reports for the first time."""
        name = str(worker.number)
        self._workers[name] = worker
        self._started_at[name] = self._site.clock.now - CONTAINER_START_S
        self._site.fleet.changed(worker)

    def read(self) -> Fleet:
        changed = [name for name, worker in self._workers.items() if worker.view is None]
        for name in [name for name in changed if self._workers[name].stage not in STATES]:
            del self._workers[name]
            del self._started_at[name]
        return Fleet(workers=tuple([worker.view or self._view(worker) for worker in self._workers.values()]))

    def _view(self, worker: SimWorker) -> Worker:
        name = str(worker.number)
        view = Worker(
            id=name,
            state=STATES[worker.stage],
            active=len(worker.tasks),
            slots=self._site.slots,
            protected=worker.protected,
            order=worker.order,
            started_at=self._started_at[name],
        )
        worker.view = view
        return view
