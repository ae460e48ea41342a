"""The simulated ECS service, which launches and stops workers, and its bill."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bench.sim.boots import BootSequence, LaunchBucket
from bench.sim.clock import Clock
from bench.sim.workers import SimWorker, Workers, WorkerState

# Measured: the time from the start of a worker's container until its Celery is ready.
CONTAINER_START_S = 6.0
STOP_TIMEOUT_S = 120.0
MINIMUM_S = 60.0  # Fargate bills an ECS task by the second from its launch, for at least a minute


class Bill:
    """Sums up the billed seconds of workers. `boots`: those launched. `unready`: those of them never ready.

    `lives`: when each billed worker was launched, and up to when it is billed.
    """

    __slots__ = ("boots", "lives", "seconds", "unready")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.boots = 0
        self.unready = 0
        self.lives: list[tuple[float, float]] = []

    def add(self, *, launched_at: float, ended_at: float, was_ready: bool) -> None:
        """Add a worker. One that was stopped while it waited for its launch costs nothing."""
        if ended_at >= launched_at:
            self.boots += 1
            self.unready += not was_ready
            billed_s = max(MINIMUM_S, ended_at - launched_at)
            self.seconds += billed_s
            self.lives.append((launched_at, launched_at + billed_s))

    @property
    def hours(self) -> float:
        return self.seconds / 3600


class Ecs:
    """Keeps as many workers as are desired. Scale-in stops random workers among the unprotected ones.

    `grace_s` is the time between a worker's SIGTERM and SIGKILL, in which it can finish its tasks. `when_ready` is
    called with each worker that has booted.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        workers: Workers,
        boots: BootSequence,
        bucket: LaunchBucket,
        seed: int,
        grace_s: float = STOP_TIMEOUT_S,
        when_ready: Callable[[SimWorker], None] | None = None,
    ) -> None:
        self._clock, self._workers, self._boots, self._bucket = clock, workers, boots, bucket
        self._grace_s = grace_s
        self._when_ready = when_ready or workers.consume
        self._dice = Random(f"victims {seed}")
        self._launched = 0
        self.desired = 0
        self.tasks: dict[int, SimWorker] = {}  # the workers that are not stopping, by number
        self.protected = 0
        self.pending = 0
        self.bill = Bill()
        self._stopping: dict[int, SimWorker] = {}

    @property
    def running(self) -> int:
        """The number of workers whose containers run, as DescribeServices counts them."""
        return len(self.tasks) - self.pending

    def set_desired(self, desired: int) -> None:
        """Set the desired count; launch or stop workers accordingly."""
        self.desired = desired
        missing = desired - len(self.tasks)
        for _ in range(missing):
            self._launch()
        if missing < 0:
            stoppable = [worker for worker in self.tasks.values() if not worker.protected]
            for worker in self._dice.sample(stoppable, min(len(stoppable), -missing)):
                self.stop(worker)

    def leave(self, worker: SimWorker) -> None:
        """Stop a worker that leaves by itself, without a replacement."""
        self.desired -= 1
        self.stop(worker)

    def protect(self, worker: SimWorker) -> bool:
        """Protect the worker; return False if more would be protected than are desired, which ECS refuses."""
        if worker.number not in self.tasks or self.protected >= self.desired:
            return False
        worker.protected = True
        self.protected += 1
        return True

    def unprotect(self, worker: SimWorker) -> None:
        """Remove the worker's protection; if there are more workers than desired, ECS stops one."""
        worker.protected = False
        self.protected -= 1
        if len(self.tasks) > self.desired:
            self.set_desired(self.desired)

    def stop(self, worker: SimWorker) -> None:
        """Send SIGTERM: the worker takes no more tasks; those that are still running after `grace_s` are killed."""
        self._remove(worker)
        self._workers.stop_consuming(worker, state=WorkerState.STOPPING)
        if not worker.tasks:
            self._end(worker)
            return
        self._stopping[worker.number] = worker
        self._clock.after(self._grace_s, self._time_out, worker)

    def ended_its_tasks(self, worker: SimWorker) -> None:
        """End a stopping worker that has no tasks left."""
        if worker.state is WorkerState.STOPPING:
            del self._stopping[worker.number]
            self._end(worker)

    def close(self) -> None:
        """Bill all remaining workers as if they ended now."""
        for worker in (*self.tasks.values(), *self._stopping.values()):
            self._end(worker)

    def _launch(self) -> None:
        self._launched += 1
        worker = SimWorker(self._launched, launched_at=self._bucket.take(self._clock.now))
        self.tasks[worker.number] = worker
        self.pending += 1
        boot = self._boots.next(launched_at=worker.launched_at)
        ready_at = worker.launched_at + boot.takes_s
        self._clock.at(max(worker.launched_at, ready_at - CONTAINER_START_S), self._run, worker)
        self._clock.at(ready_at, self._fail if boot.fails else self._ready, worker)

    def _run(self, worker: SimWorker) -> None:
        if worker.state is WorkerState.PENDING:
            worker.state = WorkerState.RUNNING
            self.pending -= 1
            self._workers.changed(worker)

    def _ready(self, worker: SimWorker) -> None:
        if worker.state is WorkerState.RUNNING:
            worker.is_ready = True
            self._when_ready(worker)

    def _fail(self, worker: SimWorker) -> None:
        if worker.state is WorkerState.RUNNING:
            self.stop(worker)
            self.set_desired(self.desired)

    def _time_out(self, worker: SimWorker) -> None:
        if worker.state is WorkerState.STOPPING:
            del self._stopping[worker.number]
            self._workers.kill(worker)
            self._end(worker)

    def _remove(self, worker: SimWorker) -> None:
        del self.tasks[worker.number]
        self.pending -= worker.state is WorkerState.PENDING
        self.protected -= worker.protected
        worker.protected = False

    def _end(self, worker: SimWorker) -> None:
        worker.state = WorkerState.GONE
        self.bill.add(launched_at=worker.launched_at, ended_at=self._clock.now, was_ready=worker.is_ready)
