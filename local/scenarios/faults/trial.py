"""One fault under way: its bursts of tasks, and what the verdict needs of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from local.scenarios.faults.verdict import Evidence, Figure, Tally
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK, ObservedStack
from local.stack.up import Stack
from project.errors import CommandError

RUN_TIMEOUT_S = 400
CHECK_EVERY_S = 1.0
ENDED = ("success", "failed")
# Airflow writes a row when a task starts to run; a call that is repeated by the same process adds none.
STARTED_TWICE = """
    SELECT map_index, try_number FROM log
    WHERE dag_id = %s AND run_id = %s AND task_id = %s AND event = 'running' GROUP BY 1, 2 HAVING count(*) > 1
"""


@dataclass(frozen=True, kw_only=True)
class Burst:
    """`tasks` tasks of between `shortest_s` and `longest_s` seconds."""

    tasks: int
    shortest_s: float
    longest_s: float


# Tasks that run on over a whole fault, and others that end, are sent and start during it.
LONG = Burst(tasks=2, shortest_s=150, longest_s=170)
SHORT = Burst(tasks=60, shortest_s=2, longest_s=10)
LONG_RUN_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a DAG whose task `work` has `tasks` instances."""

    tasks: int
    dag: str = BURST_DAG


@dataclass(kw_only=True)
class Trial:
    """Starts a fault's bursts on an observed stack, waits for them, and collects figures and unmet requirements.

    `runs` are those whose tasks count, by run id. `retries_due`: tasks that the fault itself kills. `long_task_s`: how
    long a task lasts that runs all the time and that the fault does not wait for; 0 without one.
    """

    observed: ObservedStack
    began_at: float = field(default_factory=time.monotonic)
    runs: dict[str, Run] = field(default_factory=dict)
    retries_due: int = 0
    long_task_s: float = 0.0
    figures: dict[str, Figure] = field(default_factory=dict)
    unmet: list[str] = field(default_factory=list)

    @property
    def stack(self) -> Stack:
        """The stack that the fault is done to."""
        return self.observed.stack

    def begin(self) -> None:
        """Start the fault's clock."""
        self.began_at = time.monotonic()

    def require(self, held: bool, otherwise: str) -> None:
        """Note `otherwise` as a problem unless the requirement held."""
        if not held:
            self.unmet.append(otherwise)

    def start(self, burst: Burst) -> str:
        """Start a burst that the fault does not wait for; return the run's id."""
        conf = {"tasks": burst.tasks, "min_seconds": burst.shortest_s, "max_seconds": burst.longest_s}
        return self.observed.airflow.trigger(BURST_DAG, conf)

    def trigger(self, burst: Burst) -> str:
        """Start a burst; return the run's id."""
        run_id = self.start(burst)
        self.runs[run_id] = Run(tasks=burst.tasks)
        return run_id

    def trigger_dag(self, dag: str, *, tasks: int) -> str:
        """Start a run of another DAG, with `tasks` instances of its task `work`; return the run's id."""
        run_id = self.observed.airflow.trigger(dag, {})
        self.runs[run_id] = Run(dag=dag, tasks=tasks)
        return run_id

    def trigger_on_several(self, burst: Burst) -> None:
        """Start a burst and wait until several workers have tasks of it."""
        self.trigger(burst)
        slots = self.observed.slots
        sample = self.observed.wait_for("several busy workers", lambda s: s.consuming > 1 and s.active > slots)
        self.figures |= {"busy_workers": sample.consuming, "running_tasks": sample.active}

    def trigger_around(self) -> None:
        """Start tasks that outlast a fault and others that end during it; wait until several workers have some."""
        self.trigger(LONG)
        self.trigger_on_several(SHORT)

    def has_ended(self, run_id: str, *, dag: str = BURST_DAG) -> bool:
        """Whether a run has ended, well or not. Raises CommandError when Airflow does not answer."""
        return self.observed.airflow.run_state(dag, run_id) in ENDED

    def finish(
        self,
        *,
        timeout_s: float = RUN_TIMEOUT_S,
        meanwhile: Callable[[], object] = lambda: None,
        every_s: float = CHECK_EVERY_S,
    ) -> None:
        """Wait until every run has ended, and call `meanwhile` every `every_s` seconds.

        A run that does not end in time shows as lost tasks.
        """
        deadline = time.monotonic() + timeout_s
        left = set(self.runs)
        while left and time.monotonic() < deadline:
            meanwhile()
            for run_id in sorted(left):
                with contextlib.suppress(CommandError):  # the webserver may be away
                    if self.has_ended(run_id, dag=self.runs[run_id].dag):
                        left.discard(run_id)
            time.sleep(every_s)
        self.require(not left, f"{len(left)} runs did not end within {timeout_s:.0f} s")

    def evidence(self, *, outlived: int) -> Evidence:
        """Gather what the verdict needs, when everything has ended."""
        samples = self.observed.workers.since(self.began_at)
        tally = Tally(tasks=0)
        for run_id, run in self.runs.items():
            instances = self.observed.airflow.task_instances(run.dag, run_id, task_id=BURST_TASK)
            tally += Tally.of(instances, tasks=run.tasks)
        return Evidence(
            tally=tally,
            retries_due=self.retries_due,
            started_twice=self._started_twice(),
            exposed=sum(len(sample.exposed) for sample in samples),
            outlived=outlived,
            most_workers=max((sample.running for sample in samples), default=0),
            seconds=time.monotonic() - self.began_at,
            unmet=tuple(self.unmet),
            figures=dict(self.figures),
        )

    def _started_twice(self) -> int:
        with self.stack.database_server.superuser(self.stack.outputs["DatabaseName"]) as database:
            return sum(
                len(database.execute(STARTED_TWICE, (run.dag, run_id, BURST_TASK)).fetchall())
                for run_id, run in self.runs.items()
            )
