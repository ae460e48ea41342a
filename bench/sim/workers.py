"""The workers that consume from one queue, and the tasks they run."""

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


class WorkerState(IntEnum):  # numbers are hashed quickly
    PENDING = auto()  # asked for; its image is pulled
    RUNNING = auto()  # its container runs, and is not known to the broker yet
    WAITING = auto()  # ready, and without the protection that it needs to consume
    CONSUMING = auto()
    DRAINING = auto()
    DRAINED = auto()
    STOPPING = auto()  # told to stop; ends the tasks it can
    GONE = auto()


class SimWorker:
    """`tasks` are the indexes of the tasks it runs; `place` is its index among the workers with a free slot, or -1.

    `change` counts what happened to it, so that an action planned earlier can tell whether it still applies.
    """

    __slots__ = (
        "change",
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
        self.started_at = launched_at  # of its container, as soon as it reports
        self.state = WorkerState.PENDING
        self.tasks: set[int] = set()
        self.place = -1
        self.protected = False
        self.order: str | None = None
        self.change = 0
        self.views: dict[Any, Any] = {}  # all that the registry has shown of it, by what they say


class Workers:
    """First come, first served; a waiting task goes to the slot that is freed, a new one to any with a free slot.

    Any: each worker's BRPOP stands in Redis's line of clients, so which of them is served first is as good as random.
    `when_idle` is called with a worker that has just ended its last task, `when_changed` with one whenever who looks at
    it finds something new, `when_done` when all tasks have ended, `when_last_stage_ends` with the last stage of each
    run, where the load has an order. `arrived`, `started`, `ended`: times by task; of one that was killed, of its last
    attempt. `progress`: through the load's order, if it has one. `changes` counts whatever a policy could see change.
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
        self.arrived = array("d", load.arrivals)
        self.started = array("d", load.arrivals)
        self.ended = array("d", load.arrivals)
        self._when_done = when_done
        self._dice = Random(f"line {seed}")
        self._free: list[SimWorker] = []  # consuming workers with a free slot
        self._attempts = [0] * len(load)
        self.progress = None if load.stages is None else Progress(load.stages)
        self._first = range(len(load)) if load.stages is None else load.stages.first_tasks
        clock.at(load.arrivals[self._first[0]], self._arrive, 0)

    @property
    def queued(self) -> int:
        return len(self.queue)

    def changed(self, worker: SimWorker) -> None:
        """Who looks at the worker finds something new."""
        self.changes += 1
        self.when_changed(worker)

    def consume(self, worker: SimWorker) -> None:
        """The worker takes tasks from now on."""
        worker.state = WorkerState.CONSUMING
        worker.change += 1
        self.changed(worker)
        queue = self.queue
        while queue and len(worker.tasks) < self.slots:
            self._start(queue.popleft(), worker)
        if len(worker.tasks) < self.slots:
            self._put(worker)

    def cancel(self, worker: SimWorker, *, state: WorkerState) -> None:
        """The worker takes no more tasks, and ends those it has."""
        worker.state = state
        worker.change += 1
        self.changed(worker)
        self._take(worker)

    def kill(self, worker: SimWorker) -> None:
        """Its tasks start again, from the end of the queue; their work so far is lost."""
        for task in sorted(worker.tasks):
            self._attempts[task] += 1  # its end, planned already, is that of an attempt that is no more
            self.waits.kill(ran_s=self.clock.now - self.started[task])
            self.active -= 1
            self._offer(task)
        worker.tasks.clear()

    def give_up(self) -> None:
        """Tasks that have not begun, or not ended, count as if they did now."""
        now, waits = self.clock.now, self.waits
        for task in waits.unfinished():
            waits.give_up(task, now - self.arrived[task])

    def _arrive(self, nth: int) -> None:
        """The nth of the tasks that come by themselves."""
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
    """Nobody asked to be told."""
