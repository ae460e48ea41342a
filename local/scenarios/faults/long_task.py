"""A task of ten minutes that runs on through several faults, one after another."""

from __future__ import annotations

import contextlib
import time

from local.scenarios.faults.trial import CHECK_EVERY_S, Burst, Run, Trial
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK, ObservedStack
from project.errors import CommandError
from project.waiting import wait_until

LONG_TASK_S = 600.0
LEAST_LEFT_S = 60.0  # with less left, another is started for the next fault
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 180.0  # beyond its length: a fault may delay the report of its end
RUNNING = "running"


class LongTask:
    """Keeps one long task running, so that a fault has one without waiting for its end."""

    def __init__(self, observed: ObservedStack, *, seconds: float = LONG_TASK_S) -> None:
        self._airflow = observed.airflow
        self._burst = Burst(tasks=1, shortest_s=seconds, longest_s=seconds)
        self._run_id: str | None = None
        self._started_at = 0.0

    @property
    def seconds(self) -> float:
        """How long the task runs."""
        return self._burst.longest_s

    @property
    def running(self) -> int:
        """The number of long tasks that may run: 1 or 0."""
        return int(self._run_id is not None)

    def ensure(self, trial: Trial) -> None:
        """Have a long task run that lasts for a while, before the fault. Raises CommandError when none starts."""
        if self._run_id is not None and self._left_s() < LEAST_LEFT_S:
            self.finish(trial)
        if self._run_id is None:
            self._run_id = run_id = trial.start(self._burst)
            wait_until(
                lambda: self._is_running(run_id),
                what="start of the long task",
                timeout_s=START_TIMEOUT_S,
                every_s=CHECK_EVERY_S,
            )
            self._started_at = time.monotonic()

    def check(self, trial: Trial) -> None:
        """After a fault, require that the task still runs, in its first try. The fault in which it ends tallies it."""
        if self._run_id is None:
            return
        if trial.has_ended(self._run_id):
            self.finish(trial)
            return
        instances = self._airflow.task_instances(BURST_DAG, self._run_id, task_id=BURST_TASK)
        found = ", ".join(f"{i['state']} in try {i['try_number']}" for i in instances)
        trial.figures["long_task_ran_s"] = round(time.monotonic() - self._started_at)
        trial.require(found == f"{RUNNING} in try 1", f"the long task is {found or 'lost'}")

    def finish(self, trial: Trial) -> None:
        """Wait for the end of the task and add it to the trial's tally. Do nothing when there is none."""
        if self._run_id is None:
            return
        run_id, self._run_id = self._run_id, None
        trial.runs[run_id] = Run(tasks=self._burst.tasks)
        trial.figures["long_task_s"] = self.seconds
        with contextlib.suppress(CommandError):  # then the tally has a lost task
            wait_until(
                lambda: trial.has_ended(run_id),
                what="end of the long task",
                timeout_s=max(0.0, self._left_s()) + END_TIMEOUT_S,
                every_s=CHECK_EVERY_S,
            )

    def _left_s(self) -> float:
        return self._started_at + self.seconds - time.monotonic()

    def _is_running(self, run_id: str) -> bool:
        return self._airflow.count(BURST_DAG, run_id, task_id=BURST_TASK, state=RUNNING) == 1
