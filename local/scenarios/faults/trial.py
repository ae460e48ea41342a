"""One fault under way: its bursts of tasks, and what the verdict needs of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from local.scenarios.airflow import BURST_DAG, BURST_TASK
from local.scenarios.faults.verdict import Evidence, Figure, Tally
from local.scenarios.observed_stack import ObservedStack
from local.stack.up import Stack
from project.errors import CommandError

RUN_TIMEOUT_S = 400
CHECK_EVERY_S = 1.0
ENDED = ("success", "failed")


@dataclass(frozen=True, kw_only=True)
class Burst:
    """`tasks` tasks of between `shortest_s` and `longest_s` seconds."""

    tasks: int
    shortest_s: float
    longest_s: float


@dataclass(kw_only=True)
class Trial:
    """Starts a fault's bursts on an observed stack, waits for them, and collects figures and unmet requirements.

    `runs` are the numbers of tasks by run id. `retries_due`: tasks that the fault itself kills.
    """

    observed: ObservedStack
    began_at: float = field(default_factory=time.monotonic)
    runs: dict[str, int] = field(default_factory=dict)
    retries_due: int = 0
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

    def trigger(self, burst: Burst) -> str:
        """Start a burst; return the run's id."""
        conf = {"tasks": burst.tasks, "min_seconds": burst.shortest_s, "max_seconds": burst.longest_s}
        run_id = self.observed.airflow.trigger(BURST_DAG, conf)
        self.runs[run_id] = burst.tasks
        return run_id

    def trigger_on_several(self, burst: Burst) -> None:
        """Start a burst and wait until several workers have tasks of it."""
        self.trigger(burst)
        slots = self.observed.slots
        sample = self.observed.wait_for("several busy workers", lambda s: s.consuming > 1 and s.active > slots)
        self.figures |= {"busy_workers": sample.consuming, "running_tasks": sample.active}

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
                    if self.observed.airflow.run_state(BURST_DAG, run_id) in ENDED:
                        left.discard(run_id)
            time.sleep(every_s)
        self.require(not left, f"{len(left)} runs did not end within {timeout_s:.0f} s")

    def evidence(self, *, outlived: int) -> Evidence:
        """Gather what the verdict needs, when everything has ended."""
        samples = self.observed.workers.since(self.began_at)
        tally = Tally(tasks=0)
        for run_id, tasks in self.runs.items():
            instances = self.observed.airflow.task_instances(BURST_DAG, run_id, task_id=BURST_TASK)
            tally += Tally.of(instances, tasks=tasks)
        return Evidence(
            tally=tally,
            retries_due=self.retries_due,
            exposed=sum(len(sample.exposed) for sample in samples),
            outlived=outlived,
            most_workers=max((sample.running for sample in samples), default=0),
            seconds=time.monotonic() - self.began_at,
            unmet=tuple(self.unmet),
            figures=dict(self.figures),
        )
