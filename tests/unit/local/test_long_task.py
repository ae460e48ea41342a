"""The task that outlasts faults: when one is started, and what a fault must not do to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from local.scenarios.faults.long_task import LEAST_LEFT_S, LongTask
from local.scenarios.faults.trial import Run, Trial
from local.scenarios.observed_stack import ObservedStack


@dataclass
class FakeAirflow:
    """Airflow's runs of one task each; its latest run is in `state`, in `try_number`."""

    state: str = "running"
    try_number: int = 1
    runs: list[dict[str, Any]] = field(default_factory=list)

    def trigger(self, _dag_id: str, conf: dict[str, Any]) -> str:
        self.runs.append(conf)
        self.state = "running"
        return f"run {len(self.runs)}"

    def count(self, _dag_id: str, _run_id: str, *, task_id: str, state: str) -> int:
        assert task_id
        return int(self.state == state)

    def run_state(self, _dag_id: str, _run_id: str) -> str:
        return self.state

    def task_instances(self, _dag_id: str, _run_id: str, *, task_id: str) -> list[dict[str, Any]]:
        assert task_id
        return [{"state": self.state, "try_number": self.try_number}]


@dataclass
class FakeStack:
    airflow: FakeAirflow = field(default_factory=FakeAirflow)


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


def trial_of(stack: FakeStack) -> Trial:
    return Trial(observed=cast(ObservedStack, stack))


def long_task(stack: FakeStack, *, seconds: float = 2 * LEAST_LEFT_S) -> LongTask:
    return LongTask(cast(ObservedStack, stack), seconds=seconds)


def test_one_task_runs_on_through_several_faults(stack: FakeStack) -> None:
    task = long_task(stack)
    for _ in range(2):
        trial = trial_of(stack)
        task.ensure(trial)
        task.check(trial)
        assert (trial.unmet, trial.runs) == ([], {})
    assert stack.airflow.runs == [{"tasks": 1, "min_seconds": 120.0, "max_seconds": 120.0}]
    assert task.running == 1


@pytest.mark.parametrize(
    ("state", "try_number", "said"),
    [
        ("queued", 1, "the long task is queued in try 1"),
        ("running", 2, "the long task is running in try 2"),
        ("up_for_retry", 1, "the long task is up_for_retry in try 1"),
    ],
)
def test_a_fault_that_hurts_the_task_does_not_hold(stack: FakeStack, state: str, try_number: int, said: str) -> None:
    task, trial = long_task(stack), trial_of(stack)
    task.ensure(trial)
    stack.airflow.state, stack.airflow.try_number = state, try_number
    task.check(trial)
    assert trial.unmet == [said]


@pytest.mark.parametrize("state", ["success", "failed"])
def test_the_fault_in_which_it_ends_tallies_it(stack: FakeStack, state: str) -> None:
    task, trial = long_task(stack), trial_of(stack)
    task.ensure(trial)
    stack.airflow.state = state
    task.check(trial)
    assert (trial.runs, task.running) == ({"run 1": Run(tasks=1)}, 0)


def test_another_is_started_when_little_is_left(stack: FakeStack) -> None:
    task, trial = long_task(stack, seconds=LEAST_LEFT_S - 1), trial_of(stack)
    task.ensure(trial)
    stack.airflow.state = "success"
    task.ensure(trial)
    assert (trial.runs, len(stack.airflow.runs), task.running) == ({"run 1": Run(tasks=1)}, 2, 1)


def test_the_last_fault_waits_for_its_end(stack: FakeStack) -> None:
    task, trial = long_task(stack), trial_of(stack)
    task.ensure(trial)
    stack.airflow.state = "success"
    task.finish(trial)
    assert (trial.runs, trial.figures["long_task_s"], task.running) == ({"run 1": Run(tasks=1)}, 2 * LEAST_LEFT_S, 0)


def test_without_one_there_is_nothing_to_wait_for(stack: FakeStack) -> None:
    task, trial = long_task(stack), trial_of(stack)
    task.check(trial)
    task.finish(trial)
    assert (trial.runs, trial.unmet, task.running) == ({}, [], 0)
