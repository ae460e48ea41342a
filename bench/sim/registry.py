"""The simulated workers as the fleet registry shows them."""

from __future__ import annotations

from autoscaler.observation import Fleet, Worker
from bench.sim.ecs import CONTAINER_START_S
from bench.sim.pool import Site
from bench.sim.workers import SimWorker, Stage
from fleet.registry import CONSUMING, DRAINED, DRAINING, STARTING

STATES = {
    Stage.WAITING: STARTING,
    Stage.CONSUMING: CONSUMING,
    Stage.DRAINING: DRAINING,
    Stage.DRAINED: DRAINED,
}


class SimRegistry:
    """Those that have reported and have not ended, in the order of their reports."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._views: dict[int, Worker] = {}  # by the worker's number
        self._changed: list[SimWorker] = []  # since the last read
        site.fleet.when_changed = self._changed.append

    def __getitem__(self, name: str) -> SimWorker:
        return self._site.ecs.tasks[int(name)]

    def add(self, worker: SimWorker) -> None:
        """A worker that has booted reports for the first time."""
        worker.started_at = self._site.clock.now - CONTAINER_START_S
        self._views[worker.number] = self._new_view(worker, state=STATES[worker.stage])
        self._site.fleet.changed(worker)

    def read(self) -> Fleet:
        views = self._views
        for worker in self._changed:
            if worker.number not in views:
                continue
            state = STATES.get(worker.stage)
            if state is None:
                del views[worker.number]
            else:
                views[worker.number] = self._view(worker, state=state)
        self._changed.clear()
        return Fleet(workers=tuple(views.values()))

    def _view(self, worker: SimWorker, *, state: str) -> Worker:
        """Workers go to and fro between few states, so each view is made once."""
        says = (state, len(worker.tasks), worker.protected, worker.order)
        view: Worker | None = worker.views.get(says)
        if view is None:
            view = worker.views[says] = self._new_view(worker, state=state)
        return view

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
