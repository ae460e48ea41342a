"""The fault that retires the stack's tasks: its notice, and what proves that the notice made workers drain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet.member import CONSUMING, DRAINED, DRAINING, Member
from local.lambdas.schedules import matches
from local.scenarios.faults.retirement import (
    DETAIL_TYPE,
    SOURCE,
    Retirement,
    drained_busy,
    ended_idle,
    notice,
)
from local.scenarios.faults.run import faults
from local.scenarios.faults.trial import Trial
from local.scenarios.observed_stack import ObservedStack
from local.scenarios.sampling import WorkerSample
from retirement.notice import read_notice
from tests.support import rendered
from tests.support.members import A_WORKER

TASK = "arn:aws:ecs:us-east-1:123456789012:task/cluster/{}"
OLD, OTHER, NEW = TASK.format("old"), TASK.format("other"), TASK.format("new")
OUTPUTS = {
    "ClusterName": "cluster",
    "WorkerServiceName": "workers",
    "AirflowServiceName": "airflow",
    "FlowerServiceName": "flower",
}
TAGS = [{"key": "airflow-on-ecs:retire-before", "value": "1"}]


def worker(arn: str, state: str = CONSUMING, active: int = 0, *, age_s: float = 60.0) -> Member:
    return replace(A_WORKER, task_arn=arn, state=state, active=active, started_at=time.time() - age_s)


def sample(*workers: Member, at: float | None = None) -> WorkerSample:
    now = time.monotonic() if at is None else at
    return WorkerSample(at=now, desired=2, running=2, queued=0, workers=workers, exposed=())


@dataclass
class Samples:
    taken: list[WorkerSample] = field(default_factory=list)

    def latest(self) -> WorkerSample | None:
        return self.taken[-1] if self.taken else None

    def since(self, at: float) -> list[WorkerSample]:
        return [each for each in self.taken if each.at >= at]


@dataclass
class FakeEcs:
    """ECS with the tasks of each service; `tagged` services have the notice's tag."""

    tasks: dict[str, list[str]]
    tagged: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    stop_code: str = "UserInitiated"

    def list_tasks(self, *, cluster: str, serviceName: str) -> dict[str, Any]:
        assert cluster
        return {"taskArns": self.tasks[serviceName]}

    def describe_services(self, *, cluster: str, services: list[str], include: list[str]) -> dict[str, Any]:
        assert cluster
        assert include == ["TAGS"]
        return {"services": [{"serviceName": s, "tags": TAGS if s in self.tagged else []} for s in services]}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> dict[str, Any]:
        assert cluster
        assert "maintenance" in reason
        self.stopped.append(task)
        return {"task": {"stopCode": self.stop_code}}


@dataclass
class FakeRules:
    ecs: FakeEcs
    published: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def publish(self, source: str, detail_type: str, **event: Any) -> None:
        self.published.append((source, detail_type, event))
        self.ecs.tagged |= {"workers", "airflow", "flower"}


class World:
    """An observed stack with two workers, `airflow` and `flower`, and a fault under way in it."""

    def __init__(self) -> None:
        self.samples = Samples([sample(worker(OLD, active=2), worker(OTHER))])
        self.decisions: list[dict[str, Any]] = []
        self.ecs = FakeEcs({"workers": [OLD, OTHER], "airflow": ["a"], "flower": ["f"]})
        self.rules = FakeRules(self.ecs)
        clients = SimpleNamespace(ecs=self.ecs, region="us-east-1")
        self.stack = SimpleNamespace(outputs=OUTPUTS, clients=clients, rules=self.rules)
        self.workers, self.minimum = self.samples, 1
        self.trial = Trial(observed=cast(ObservedStack, self))

    def wait_for(
        self, _what: str, is_reached: Callable[[WorkerSample], bool], *, timeout_s: float = 1.0
    ) -> WorkerSample:
        assert timeout_s
        found = self.samples.taken[-1]
        assert is_reached(found)
        return found

    def decisions_since(self, _at: float) -> list[dict[str, Any]]:
        return self.decisions


@pytest.fixture
def world() -> World:
    return World()


def under_way(world: World) -> Retirement:
    made = Retirement(world.trial)
    made.give_notice()
    return made


def test_the_notice_is_what_the_rule_lets_through_and_the_function_reads(world: World) -> None:
    under_way(world)
    ((source, detail_type, published),) = world.rules.published
    event = {"source": source, "detail-type": detail_type, **published}
    events = rendered.template()["Resources"]["RetirementFunction"]["Properties"]["Events"]
    assert matches(events["Notice"]["Properties"]["Pattern"], event)
    read = read_notice(event, cluster="cluster", region="us-east-1", now=1.0)
    assert (sorted(read.tasks), sorted(read.services)) == (sorted({OLD, OTHER}), ["airflow", "flower"])
    assert (read.unknown, read.is_whole_cluster) == ((), False)


def test_a_notice_of_another_region_names_nothing() -> None:
    event = {"source": SOURCE, "detail-type": DETAIL_TYPE, **notice(["cluster|airflow"], "eu-west-1")}
    assert not read_notice(event, cluster="cluster", region="us-east-1", now=1.0).services


def test_workers_that_have_just_started_or_do_not_consume_are_not_named(world: World) -> None:
    world.samples.taken = [sample(worker(OLD), worker(OTHER), worker(NEW, age_s=0.5), worker("d", DRAINING))]
    under_way(world)
    assert world.trial.figures["named_workers"] == 2


def test_only_the_first_named_worker_that_has_drained_is_stopped(world: World) -> None:
    made = under_way(world)
    made.stop_first_drained()
    world.samples.taken.append(sample(worker(OLD, DRAINING, 1), worker(NEW, DRAINED)))
    made.stop_first_drained()
    assert world.ecs.stopped == []
    world.samples.taken.append(sample(worker(OLD, DRAINED), worker(OTHER, DRAINED)))
    made.stop_first_drained()
    made.stop_first_drained()
    assert world.ecs.stopped == [OLD]


def test_a_worker_that_ecs_has_stopped_already_is_not_the_one_that_aws_stopped(world: World) -> None:
    made = under_way(world)
    world.ecs.stop_code = "ServiceSchedulerInitiated"
    world.samples.taken.append(sample(worker(OLD, DRAINED), worker(OTHER, DRAINED)))
    made.stop_first_drained()
    world.ecs.stop_code = "UserInitiated"
    world.samples.taken.append(sample(worker(OTHER, DRAINED)))
    made.stop_first_drained()
    assert world.ecs.stopped == [OLD, OTHER]


@pytest.mark.parametrize(
    ("left", "long_task_s", "is_over"),
    [
        ((worker(NEW),), 0.0, True),
        ((worker(NEW), worker(OLD, DRAINING, 1)), 600.0, True),  # the long task
        ((worker(NEW), worker(OLD, DRAINING, 1)), 0.0, False),
        ((worker(NEW), worker(OLD, DRAINING, 2)), 600.0, False),
        ((worker(NEW), worker(OLD, CONSUMING, 1)), 600.0, False),
        ((worker(NEW), worker(OLD, DRAINED)), 600.0, False),
    ],
)
def test_only_the_worker_of_the_long_task_may_be_left(
    world: World, left: tuple[Member, ...], long_task_s: float, is_over: bool
) -> None:
    made = under_way(world)
    world.trial.long_task_s = long_task_s
    world.ecs.tasks |= {"airflow": ["b"], "flower": ["g"]}
    world.samples.taken.append(sample(*left))
    if is_over:
        made.await_replacements()
        assert "replaced_after_s" in world.trial.figures
    else:
        with pytest.raises(AssertionError):
            made.await_replacements()


def judged(world: World, *samples: WorkerSample, reason: str = "2 workers retire, 1 told to drain") -> list[str]:
    made = under_way(world)
    world.samples.taken += samples
    world.decisions = [{"reason": reason}]
    made.judge()
    return world.trial.unmet


DRAINS = sample(worker(OLD, DRAINING, 2), worker(NEW), at=1e12)
GONE = sample(worker(NEW), at=1e12 + 9)


def test_a_notice_that_made_workers_drain_holds(world: World) -> None:
    idle = sample(worker(OLD, DRAINED), worker(NEW), at=1e12 + 5)
    assert judged(world, DRAINS, idle, GONE) == []
    assert world.trial.figures["drained_while_busy"] == 1
    assert world.trial.figures["ended_without_tasks"] == 1


@pytest.mark.parametrize(
    ("samples", "reason", "said"),
    [
        ((DRAINS, sample(worker(OLD, DRAINED), worker(NEW), at=1e12 + 5), GONE), "ok", "the autoscaler retired no"),
        ((sample(worker(OLD, DRAINED), worker(NEW), at=1e12), GONE), "1 worker retires", "no named worker had tasks"),
        ((DRAINS, GONE), "1 worker retires", "no named worker ended without tasks"),
        (
            (DRAINS, sample(worker(OLD, DRAINED), at=1e12 + 5), GONE),
            "1 worker retires",
            "only 0 workers consumed at some time after the notice",
        ),
    ],
)
def test_what_the_notice_did_not_do_is_in_the_verdict(
    world: World, samples: tuple[WorkerSample, ...], reason: str, said: str
) -> None:
    (problem,) = judged(world, *samples, reason=reason)
    assert problem.startswith(said)


def test_a_worker_that_was_not_named_counts_neither_as_drained_nor_as_ended() -> None:
    samples = [sample(worker(NEW, DRAINING, 1)), sample(worker(NEW, DRAINED)), sample(worker(OLD))]
    assert drained_busy(samples, frozenset({OLD})) == frozenset()
    assert ended_idle(samples, frozenset({OLD})) == frozenset()


def test_retirement_is_the_last_fault_with_the_long_task() -> None:
    """A worker that retires drains until the long task ends: the stack does not settle before."""
    assert [fault.name for fault in faults() if fault.has_long_task][-1] == "retirement"
