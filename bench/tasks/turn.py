"""One turn of a system: it is started, measured from its worker's start to its memory, and stopped."""

from __future__ import annotations

import contextlib
import fcntl
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.micro.machine import OtherLoad
from bench.tasks.held_slots import held_slots
from bench.tasks.runs import Finished, Started
from bench.tasks.sizes import SLOTS, Sizes
from bench.tasks.system import DAG_PROCESSOR, SCHEDULER, WEBSERVER, System
from project.waiting import wait_until

ONE, EMPTY, WITH_PANDAS, MANY_TASKS = "one", "empty", "with_pandas", "many_tasks"
BURSTS = (EMPTY, WITH_PANDAS, MANY_TASKS)
HEADROOM = "headroom"  # the burst of empty tasks with an unlimited `parallelism`
SETTLES_S = 2.0
ALL_RUN_WITHIN_S = 300.0


def held(slots: int) -> str:
    """Return the id of the DAG whose tasks fill so many slots until they are told to end."""
    return f"held_{slots}"


def dag_ids(sizes: Sequence[int]) -> list[str]:
    return [ONE, *BURSTS, *map(held, sizes)]


@dataclass(frozen=True, kw_only=True)
class Burst:
    """`cpu_ms` a task, of each role and server; `per_s`: tasks from the first one's start to the last one's end."""

    per_s: float
    cpu_ms: Mapping[str, float]
    held_s: Sequence[float]

    def worker_ms(self, roles: Sequence[str]) -> float:
        return sum(self.cpu_ms[role] for role in roles)

    @property
    def chain_ms(self) -> float:
        """All but the DAG processor, which has no part in a task."""
        return sum(ms for role, ms in self.cpu_ms.items() if role != DAG_PROCESSOR)


@dataclass(frozen=True, kw_only=True)
class Full:
    """A worker all of whose slots run a task, and afterwards is idle; memory is None where it may not be read."""

    busy_mib: float | None
    idle_mib: float | None
    webserver_cores: float


@dataclass(kw_only=True)
class Turn:
    """What was measured. Times are seconds, lists have a value a run; `full` is by the worker's slots.

    `retries`: of all tasks.
    """

    worker_roles: Sequence[str]
    worker_start_s: float = 0.0
    to_start_s: list[float] = field(default_factory=list)
    to_end_s: list[float] = field(default_factory=list)
    scheduler_idle_cores: float = 0.0
    scheduler_mib: float | None = None
    bursts: dict[str, Burst] = field(default_factory=dict)
    full: dict[int, Full] = field(default_factory=dict)
    other_share: float = 0.0
    retries: int = 0


@dataclass
class _Usage:
    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)


class Measuring:
    """Measures one turn of a system. Raises CommandError for what does not start or does not succeed."""

    def __init__(self, system: System, sizes: Sizes, say: Callable[[str], None]) -> None:
        self._system, self._sizes = system, sizes
        self._tell = say
        self._chance = random.Random(1)
        self._turn = Turn(worker_roles=system.worker_roles)

    def go(self) -> Turn:
        """Measure everything. A DAG's first burst warms up; its second one counts."""
        system, turn = self._system, self._turn
        self._say("start")
        system.start(slots=SLOTS)
        time.sleep(SETTLES_S)
        with self._metered():
            turn.worker_start_s = system.start_worker(SLOTS)
        self._measure_idle()
        for dag_id in BURSTS:
            self._say(f"tasks of {dag_id}")
            self._burst(dag_id)
            turn.bursts[dag_id] = self._burst(dag_id)
        turn.scheduler_mib = system.pss_mib(SCHEDULER)
        turn.full[SLOTS] = self._fill(SLOTS)
        self._say("tasks with headroom")
        system.give_headroom(slots=max(self._sizes.slots))
        self._burst(EMPTY)
        turn.bursts[HEADROOM] = self._burst(EMPTY)
        for slots in self._sizes.more_slots:
            system.stop_worker()
            system.start_worker(slots)
            turn.full[slots] = self._fill(slots)
        self._say("stop")
        system.stop()
        return turn

    def _say(self, what: str) -> None:
        self._tell(f"{self._system.name}: {what}")

    def _measure_idle(self) -> None:
        """Measure single runs and then none at all."""
        self._say("single runs")
        runs, turn = self._system.runs, self._turn
        self._finish(runs.start(ONE))
        with self._metered():
            for _ in range(self._sizes.latency_runs):
                time.sleep(SETTLES_S + self._chance.random())  # at any moment of the scheduler's loop
                run = self._finish(runs.start(ONE))
                turn.to_start_s.append(run.tasks[0].started_at - run.asked_at)
                turn.to_end_s.append(run.ended_at - run.asked_at)
        time.sleep(SETTLES_S)
        self._say("idle")
        with self._metered() as usage:
            time.sleep(self._sizes.idle_s)
        turn.scheduler_idle_cores = usage.cpu_s[SCHEDULER] / usage.wall_s

    def _burst(self, dag_id: str) -> Burst:
        system = self._system
        with held_slots(system.broker, system.unacked_key) as slots, self._metered() as usage:
            run = self._finish(system.runs.start(dag_id))
            slots.wait_until_empty()
            time.sleep(SETTLES_S)  # logs and results
        count = len(run.tasks)
        spent_s = max(task.ended_at for task in run.tasks) - min(task.started_at for task in run.tasks)
        return Burst(
            per_s=count / spent_s,
            cpu_ms={role: 1000 * cpu_s / count for role, cpu_s in usage.cpu_s.items()},
            held_s=slots.after_end_s(run.tasks),
        )

    def _fill(self, slots: int) -> Full:
        """Let all slots run a task until they are told to end."""
        self._say(f"{slots} slots")
        system = self._system
        gate = system.folder / "gate"
        with gate.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run = system.runs.start(held(slots), gate=str(gate))
            is_full = partial(self._is_full, run, slots)
            wait_until(is_full, what=f"{system.name}: {slots} running tasks", timeout_s=ALL_RUN_WITHIN_S)
            time.sleep(SETTLES_S)
            with self._metered() as usage:
                time.sleep(self._sizes.running_s if slots == SLOTS else SETTLES_S)
            busy = system.pss_mib(*system.worker_roles)
        self._finish(run)
        time.sleep(2 * SETTLES_S)
        idle = system.pss_mib(*system.worker_roles)
        return Full(busy_mib=busy, idle_mib=idle, webserver_cores=usage.cpu_s[WEBSERVER] / usage.wall_s)

    def _finish(self, run: Started) -> Finished:
        finished = self._system.runs.finish(run)
        self._turn.retries += sum(task.retries for task in finished.tasks)
        return finished

    def _is_full(self, run: Started, slots: int) -> bool:
        return self._system.runs.running(run) == slots

    @contextlib.contextmanager
    def _metered(self) -> Iterator[_Usage]:
        """Measure the processor time of each role and server until the block ends."""
        system, usage, others = self._system, _Usage(), OtherLoad()
        before, aws_s = system.cpu_s(), system.servers.aws_cpu_s()
        yield usage
        usage.wall_s, after = others.wall_s, system.cpu_s()
        usage.cpu_s = {role: cpu_s - before.get(role, 0.0) for role, cpu_s in after.items()}
        measured_s = sum(usage.cpu_s.values()) + system.servers.aws_cpu_s() - aws_s
        self._turn.other_share = max(self._turn.other_share, others.share(measured_s))
