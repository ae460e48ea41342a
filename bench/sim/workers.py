"""The simulated workers, their queue and the tasks that they run."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from random import Random
from typing import Any

from bench.loads.load import Load
from bench.loads.stages import FOLLOWS_AFTER_S, Progress
from bench.sim.clock import Clock
from bench.sim.metrics import Waits


class WorkerState(IntEnum):  # an IntEnum, because integers are hashed quickly
    PENDING = auto()  # launched; its image is pulled
    RUNNING = auto()  # its container runs, but has not registered yet
    WAITING = auto()  # ready, but without the protection that it needs to consume
    CONSUMING = auto()
    DRAINING = auto()
    DRAINED = auto()
    STOPPING = auto()  # received SIGTERM; finishes the tasks that it can
    GONE = auto()


class SimWorker:
    """A Fargate task with slots.

    Attributes:
        number: Its number, by launch.
        launched_at: When it was launched.
        started_at: When its container started; its launch until it reports.
        is_ready: Whether it has booted.
        state: What it does.
        tasks: The indexes of the tasks that it runs.
        place: Its index among the workers with a free slot, or -1.
        protected: Whether it has scale-in protection.
        order: The last order of the autoscaler.
        change: A counter of its changes: an action planned earlier compares it to tell whether it still applies.
        views: The views that the registry has made of it, by their contents.
    """

    __slots__ = (
        "change",
        "is_ready",
        "launched_at",
        "number",
        "order",
        "place",
        "protected",
        "started_at",
        "state",
        "tasks",
        "views",
    )

    def __init__(self, number: int, *, launched_at: float) -> None:
        self.number = number
        self.launched_at = launched_at
        self.started_at = launched_at
        self.is_ready = False
        self.state = WorkerState.PENDING
        self.tasks: set[int] = set()
        self.place = -1
        self.protected = False
        self.order: str | None = None
        self.change = 0
        self.views: dict[Any, Any] = {}


class Workers:
    """All workers of a pool with their queue: first come, first served.

    A queued task takes the next slot that is freed. A new task takes a random worker with a free slot: the order in
    which Redis serves the workers' BRPOP is as good as random.

    Attributes:
        queue: The queued tasks.
        active: The number of running tasks.
        changes: A counter of all changes that a policy could observe.
        waits: How long tasks waited.
        when_idle: Called with a worker that has just ended its last task.
        when_changed: Called with a worker when its record in the registry changes.
        when_last_stage_ends: Called with the last stage of each run, if the load has stages.
        when_queued: Called when a task must wait.
        arrived: Times by task. `started` and `ended` likewise; those of a killed task are of its last attempt.
        ran_on: The number of its worker, by task, likewise.
        progress: The progress through the load's stages, if it has any.
    """

    def __init__(self, *, clock: Clock, load: Load, slots: int, seed: int, when_done: Callable[[], None]) -> None:
        self.clock, self.load, self.slots = clock, load, slots
        self.queue: deque[int] = deque()
        self.active = 0
        self.changes = 0
        self.waits = Waits(len(load))
        self.when_idle: Callable[[SimWorker], None] = _nothing
        self.when_changed: Callable[[SimWorker], None] = _nothing
        self.when_last_stage_ends: Callable[[int], None] = _nothing
        self.when_queued: Callable[[], None] = _nothing_at_all
        self.arrived = array("d", load.arrivals)
        self.started = array("d", load.arrivals)
        self.ended = array("d", load.arrivals)
        self.ran_on = array("l", [0]) * len(load)
        self._when_done = when_done
        self._dice = Random(f"line {seed}")  # the order of the workers' BRPOP
        self._free: list[SimWorker] = []  # consuming workers with a free slot
        self._attempts = [0] * len(load)
        self.progress = None if load.stages is None else Progress(load.stages)
        self._first = range(len(load)) if load.stages is None else load.stages.first_tasks
        clock.at(load.arrivals[self._first[0]], self._arrive, 0)

    @property
    def queued(self) -> int:
        return len(self.queue)

    def changed(self, worker: SimWorker) -> None:
        """Count and announce a change of the worker."""
        self.changes += 1
        self.when_changed(worker)

    def consume(self, worker: SimWorker) -> None:
        """Let the worker take tasks from now on."""
        worker.state = WorkerState.CONSUMING
        worker.change += 1
        self.changed(worker)
        queue = self.queue
        while queue and len(worker.tasks) < self.slots:
            self._start(queue.popleft(), worker)
        if len(worker.tasks) < self.slots:
            self._put(worker)

    def stop_consuming(self, worker: SimWorker, *, state: WorkerState) -> None:
        """Let the worker take no more tasks; it finishes those that it has."""
        worker.state = state
        worker.change += 1
        self.changed(worker)
        self._take(worker)

    def kill(self, worker: SimWorker) -> None:
        """Kill the worker's tasks: they are queued again at the end, and their work so far is lost."""
        for task in sorted(worker.tasks):
            self._attempts[task] += 1  # so that the planned end of this attempt is ignored
            self.waits.kill(ran_s=self.clock.now - self.started[task])
            self.active -= 1
            self._offer(task)
        worker.tasks.clear()

    def cut_off(self) -> None:
        """Count tasks that have not started or not ended as if they did now."""
        now, waits = self.clock.now, self.waits
        for task in waits.unfinished():
            waits.cut_off(task, now - self.arrived[task])

    def _arrive(self, nth: int) -> None:
        """Queue the nth of the tasks that follow no other task."""
        following = nth + 1
        if following < len(self._first):
            self.clock.at(self.load.arrivals[self._first[following]], self._arrive, following)
        self._offer(self._first[nth])

    def _arrive_together(self, tasks: Sequence[int]) -> None:
        for task in tasks:
            self.arrived[task] = self.clock.now
            self._offer(task)

    def _offer(self, task: int) -> None:
        free = self._free
        if not free:
            self.queue.append(task)
            self.changes += 1
            self.when_queued()
            return
        self._start(task, free[int(self._dice.random() * len(free))])

    def _start(self, task: int, worker: SimWorker) -> None:
        clock = self.clock
        worker.tasks.add(task)
        self.changed(worker)
        self.active += 1
        if worker.place >= 0 and len(worker.tasks) >= self.slots:
            self._take(worker)
        self.started[task] = clock.now
        self.ran_on[task] = worker.number
        if not self._attempts[task]:
            self.waits.start(task, clock.now - self.arrived[task])
        clock.at(clock.now + self.load.durations[task], self._end, (task, self._attempts[task], worker))

    def _end(self, ended: tuple[int, int, SimWorker]) -> None:
        task, attempt, worker = ended
        if attempt != self._attempts[task]:
            return
        worker.tasks.discard(task)
        self.changed(worker)
        self.active -= 1
        load, waits = self.load, self.waits
        self.ended[task] = self.clock.now
        waits.end(task, self.clock.now - self.arrived[task] - load.durations[task])
        if self.progress is not None:
            self._go_on(self.progress, task)
        if worker.state is WorkerState.CONSUMING:
            if self.queue:
                self._start(self.queue.popleft(), worker)
            elif worker.place < 0:
                self._put(worker)
        if not worker.tasks:
            self.when_idle(worker)
        if waits.completed == len(load):
            self._when_done()

    def _go_on(self, progress: Progress, task: int) -> None:
        following = progress.end(task)
        if following:
            self.clock.after(FOLLOWS_AFTER_S, self._arrive_together, following)
        elif progress.has_ended_run(stage := progress.stages.stage_of[task]):
            self.when_last_stage_ends(stage)

    def _put(self, worker: SimWorker) -> None:
        worker.place = len(self._free)
        self._free.append(worker)

    def _take(self, worker: SimWorker) -> None:
        if worker.place < 0:
            return
        last = self._free.pop()
        if last is not worker:
            self._free[worker.place] = last
            last.place = worker.place
        worker.place = -1


def _nothing(_: object) -> None:
    """Ignore the event."""


def _nothing_at_all() -> None:
    """Ignore an event of which nothing more is known."""
