"""The local Fargate starts and stops a service's tasks as ECS does."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.fargate.reconcile import Plan, ServiceView, TaskView, plan


def service(desired: int, primary: str = "new") -> ServiceView:
    return ServiceView(name="worker", desired=desired, primary=primary)


def task(arn: str, *, deployment: str = "new", running: bool = True, protected: bool = False) -> TaskView:
    return TaskView(arn=arn, deployment=deployment, running=running, protected=protected)


def step(desired: int, *tasks: TaskView) -> Plan:
    return plan(service(desired), tasks, random.Random(1))


@pytest.mark.parametrize(("have", "desired", "start"), [(0, 3, 3), (1, 3, 2), (3, 3, 0), (0, 0, 0)])
def test_missing_tasks_are_started(have: int, desired: int, start: int) -> None:
    assert step(desired, *(task(str(i)) for i in range(have))).start == start


def test_scale_in_stops_the_surplus() -> None:
    assert len(step(1, task("a"), task("b"), task("c")).stop) == 2


def test_scale_in_never_stops_a_protected_task() -> None:
    made = step(0, task("a", protected=True), task("b"), task("c", protected=True))
    assert made.stop == ("b",)


def test_scale_in_prefers_none_of_the_unprotected_tasks() -> None:
    tasks = tuple(task(name) for name in "abcdef")
    chosen = {plan(service(5), tasks, random.Random(seed)).stop for seed in range(50)}
    assert len(chosen) > 1


def test_a_deployment_starts_new_tasks_before_it_stops_old_ones() -> None:
    made = step(2, task("a", deployment="old"), task("b", deployment="old"))
    assert (made.start, made.stop) == (2, ())


def test_a_deployment_waits_for_new_tasks_to_run() -> None:
    olds = [task(name, deployment="old") for name in "ab"]
    news = [task(name, running=False) for name in "cd"]
    assert step(2, *olds, *news).stop == ()


def test_a_deployment_stops_old_tasks_once_new_ones_run() -> None:
    olds = [task(name, deployment="old") for name in "ab"]
    assert set(step(2, *olds, task("c"), task("d")).stop) == {"a", "b"}


def test_a_deployment_leaves_protected_old_tasks() -> None:
    olds = [task("a", deployment="old", protected=True), task("b", deployment="old")]
    assert step(2, *olds, task("c"), task("d")).stop == ("b",)


tasks = st.lists(
    st.builds(
        TaskView,
        arn=st.uuids().map(str),
        deployment=st.sampled_from(["new", "old", "older"]),
        running=st.booleans(),
        protected=st.booleans(),
    ),
    max_size=12,
)


@given(tasks=tasks, desired=st.integers(0, 8), seed=st.integers())
def test_any_plan_respects_protection_and_limits(tasks: list[TaskView], desired: int, seed: int) -> None:
    made = plan(service(desired), tuple(tasks), random.Random(seed))
    by_arn = {t.arn: t for t in tasks}
    assert len(set(made.stop)) == len(made.stop)
    assert not any(by_arn[arn].protected for arn in made.stop)
    current = sum(t.deployment == "new" for t in tasks)
    assert current + made.start <= max(desired, current)
    assert len(tasks) + made.start <= max(2 * desired, len(tasks))
    left_running = sum(t.running for t in tasks if t.arn not in made.stop)
    # Scaling in may go down to desired; a rolling replacement may not go below it.
    assert left_running >= min(desired, sum(t.running for t in tasks)) - sum(not t.running for t in tasks)
