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

    def __getitem__(self, name: str) -> SimWorker:
        return self._workers[name]

    def add(self, worker: SimWorker) -> None:
        """A worker that has booted reports for the first time."""
        name = str(worker.number)
        self._workers[name] = worker
        worker.started_at = self._site.clock.now - CONTAINER_START_S
        self._site.fleet.changed(worker)

    def read(self) -> Fleet:
        views = [worker.view or self._view(worker) for worker in self._workers.values()]
        if not all(views):
            self._workers = {name: worker for name, worker in self._workers.items() if worker.view}
        return Fleet(workers=tuple(filter(None, views)))

    def _view(self, worker: SimWorker) -> Worker | None:
        """None of one that has ended. Workers go to and fro between few states, so each view is made once."""
        state = STATES.get(worker.stage)
        if state is None:
            return None
        says = (state, len(worker.tasks), worker.protected, worker.order)
        worker.view = worker.views.get(says)
        if worker.view is None:
            worker.view = worker.views[says] = self._new_view(worker, state=state)
        return worker.view  # type: ignore[no-any-return]

    def _new_view(self, worker: SimWorker, *, state: str) -> Worker:
        return Worker(
            id=str(worker.number),
            state=state,
            active=len(worker.tasks),
            slots=self._site.slots,
            protected=worker.protected,
            order=worker.order,
            started_at=worker.started_at,
        )
