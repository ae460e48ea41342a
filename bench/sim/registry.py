"""The fleet registry of the simulated workers."""

from __future__ import annotations

from autoscaler.observation import Fleet, Worker
from bench.sim.ecs import CONTAINER_START_S
from bench.sim.pool import SimPool
from bench.sim.workers import SimWorker, WorkerState
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING

STATES = {
    WorkerState.WAITING: STARTING,
    WorkerState.CONSUMING: CONSUMING,
    WorkerState.DRAINING: DRAINING,
    WorkerState.DRAINED: DRAINED,
}


class SimRegistry:
    """The workers that have reported and not ended, in the order of their first reports."""

    def __init__(self, pool: SimPool) -> None:
        self._pool = pool
        self._views: dict[int, Worker] = {}  # by the worker's number
        self._changed: list[SimWorker] = []  # since the last read
        pool.workers.when_changed = self._changed.append

    def __getitem__(self, name: str) -> SimWorker:
        return self._pool.ecs.tasks[int(name)]

    def add(self, worker: SimWorker) -> None:
        """Add a worker that has booted and reports for the first time."""
        worker.started_at = self._pool.clock.now - CONTAINER_START_S
        self._views[worker.number] = self._new_view(worker, state=STATES[worker.state])
        self._pool.workers.changed(worker)

    def read(self) -> Fleet:
        """Return the registry's contents as the autoscaler reads them."""
        views = self._views
        for worker in self._changed:
            if worker.number not in views:
                continue
            state = STATES.get(worker.state)
            if state is None:
                del views[worker.number]
            else:
                views[worker.number] = self._view(worker, state=state)
        self._changed.clear()
        return Fleet(workers=tuple(views.values()))

    def _view(self, worker: SimWorker, *, state: str) -> Worker:
        """Return the cached view of the worker: workers alternate between few states, so each view is made once."""
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
            slots=self._pool.slots,
            protected=worker.protected,
            order=worker.order,
            started_at=worker.started_at,
        )
