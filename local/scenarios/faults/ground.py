"""What every fault stands on: a settled stack, bursts of tasks, and the way back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

from local.scenarios.demo.airflow import Airflow
from local.scenarios.demo.burst import ADMIN, DAG_ID, DAG_TIMEOUT_S, TASK_ID
from local.scenarios.demo.samples import decisions
from local.scenarios.faults.verdict import Evidence, Figure, Tally
from local.scenarios.faults.watch import Sight, Watch
from local.stack.up import WEBSERVER_PORT, Stack
from project.errors import CommandError
from project.waiting import wait_until

AUTOSCALER_OUTPUT = "AutoscalerFunctionName"
SETTLE_TIMEOUT_S = 240
SEEN_TIMEOUT_S = 150
RUN_TIMEOUT_S = 400
LOOK_EVERY_S = 1.0
ENDED = ("success", "failed")


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What to run: `tasks` tasks of between `shortest_s` and `longest_s` seconds."""

    tasks: int
    shortest_s: float
    longest_s: float


@dataclass(kw_only=True)
class Trial:
    """One fault under way: it collects what the verdict needs."""

    began_at: float = field(default_factory=time.monotonic)
    runs: dict[str, int] = field(default_factory=dict)
    retries_due: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)
    unmet: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Count from now on."""
        self.began_at = time.monotonic()

    def require(self, held: bool, otherwise: str) -> None:
        """Note, in words, what had to be seen and was not."""
        if not held:
            self.unmet.append(otherwise)


class Ground:
    """The stack with a signed-in client and a watch on the workers."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        self.watch = Watch(stack)
        self.minimum = int(stack.parameters["WorkerMin"])
        self.maximum = int(stack.parameters["WorkerMax"])
        self.slots = int(stack.parameters["WorkerConcurrency"])
        wait_until(lambda: self.airflow.dag_exists(DAG_ID), what="parsing of the DAG", timeout_s=DAG_TIMEOUT_S)

    def close(self) -> None:
        """Look no more."""
        self.watch.close()
        self.airflow.close()

    @property
    def autoscaler(self) -> str:
        """The name of the autoscaler's function."""
        return self.stack.outputs[AUTOSCALER_OUTPUT]

    def settle(self) -> None:
        """Wait until the workers are at their minimum, consume, and nothing is left to do."""
        self.see("the return to the minimum", self._is_settled, timeout_s=SETTLE_TIMEOUT_S)

    def mend(self) -> None:
        """Undo what a fault may have left broken."""
        self.stack.agent.endpoint.recover()
        self.stack.rules.function(self.autoscaler).unthrottle()
        self.stack.network.bring_back(self.stack.outputs["AirflowServiceName"], WEBSERVER_PORT)

    def trigger(self, trial: Trial, burst: Burst) -> str:
        """Start a burst; return the run's id."""
        conf = {"tasks": burst.tasks, "min_seconds": burst.shortest_s, "max_seconds": burst.longest_s}
        run_id = self.airflow.trigger(DAG_ID, conf)
        trial.runs[run_id] = burst.tasks
        return run_id

    def burst_on_several(self, trial: Trial, burst: Burst) -> None:
        """Start a burst and wait until several workers have tasks of it."""
        self.trigger(trial, burst)
        sight = self.see("several workers at work", lambda s: s.consuming > 1 and s.active > self.slots)
        trial.figures |= {"struck_workers": sight.consuming, "struck_tasks": sight.active}

    def stopped_workers(self) -> int:
        """Count the workers that were stopped so far."""
        service = self.stack.outputs["WorkerServiceName"]
        return sum(e.startswith(f"{service}: task") and " stopped: " in e for e in list(self.stack.agent.events))

    def running(self, run_id: str) -> int:
        """Count the run's tasks that Airflow knows to run."""
        return self.airflow.count(DAG_ID, run_id, task_id=TASK_ID, state="running")

    def see(self, what: str, seen: Callable[[Sight], bool], *, timeout_s: float = SEEN_TIMEOUT_S) -> Sight:
        """Wait for a sight of the workers; CommandError says what was not seen in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            sight = self.watch.latest()
            if sight is not None and seen(sight):
                return sight
            if time.monotonic() > deadline:
                raise CommandError(f"{what} was not seen within {timeout_s:.0f} s; last: {_in_words(sight)}")
            time.sleep(LOOK_EVERY_S / 2)

    def finish(
        self,
        trial: Trial,
        *,
        timeout_s: float = RUN_TIMEOUT_S,
        meanwhile: Callable[[], object] = lambda: None,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Wait until every run of the trial has ended, and do something `meanwhile`, again and again.

        A run that does not end in time shows as lost tasks.
        """
        deadline = time.monotonic() + timeout_s
        left = set(trial.runs)
        while left and time.monotonic() < deadline:
            meanwhile()
            for run_id in sorted(left):
                with contextlib.suppress(CommandError):  # the webserver may be away
                    if self.airflow.run_state(DAG_ID, run_id) in ENDED:
                        left.discard(run_id)
            time.sleep(every_s)
        trial.require(not left, f"{len(left)} runs did not end within {timeout_s:.0f} s")

    def evidence(self, trial: Trial, *, outlived: int) -> Evidence:
        """Gather what the verdict needs, when everything has ended."""
        sights = self.watch.since(trial.began_at)
        tally = Tally(tasks=0)
        for run_id, tasks in trial.runs.items():
            instances = [i for i in self.airflow.task_instances(DAG_ID, run_id) if i["task_id"] == TASK_ID]
            tally += Tally.of(instances, tasks=tasks)
        return Evidence(
            tally=tally,
            retries_due=trial.retries_due,
            exposed=sum(len(sight.exposed) for sight in sights),
            outlived=outlived,
            most_workers=max((sight.running for sight in sights), default=0),
            seconds=time.monotonic() - trial.began_at,
            unmet=tuple(trial.unmet),
            figures=dict(trial.figures),
        )

    def phantoms(self) -> int:
        """Count the messages that were delivered and never acknowledged."""
        count: Any = self.stack.broker.hlen("unacked")  # the stubs say that it may be awaitable
        return int(count)

    def decisions_since(self, at: float) -> list[dict[str, object]]:
        """Return the autoscaler's decisions since a time in seconds since the epoch."""
        return [d for d in decisions(self.stack) if d["t"] >= at]

    def _is_settled(self, sight: Sight) -> bool:
        idle = not sight.queued and not sight.active
        few = sight.desired == sight.running == len(sight.workers) == sight.consuming == self.minimum
        return few and idle and self._is_healthy()

    def _is_healthy(self) -> bool:
        network, outputs = self.stack.network, self.stack.outputs
        try:
            malformed = self.stack.registry.members().malformed
        except redis.RedisError:
            return False
        return not malformed and network.healthy(outputs["AirflowServiceName"], WEBSERVER_PORT) > 0


def _in_words(sight: Sight | None) -> str:
    if sight is None:
        return "nothing for a while"
    states = ", ".join(f"{worker.state}/{worker.active}" for worker in sight.workers)
    return f"desired {sight.desired}, running {sight.running}, queued {sight.queued}, workers [{states}]"
