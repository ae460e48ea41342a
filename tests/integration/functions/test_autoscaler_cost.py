"""What one tick asks of Redis and of AWS: counted, by a real Redis, in the benchmark's scenes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from autoscaler.observation import Unreadable
from autoscaler.services import TaskDeployments
from autoscaler.settings import Settings
from autoscaler.tick import tick
from bench.micro.function import broker
from bench.micro.function.aws_api import AwsApi
from bench.micro.function.figures import most_calls
from bench.micro.function.scenes import CLUSTER, Scene, changing, steady
from bench.micro.function.servers import Servers
from local.servers.redis import Redis
from shared import aws
from shared.broker import Broker

MEMBERS = 250
FEW, MANY = 10, 10_000
CHANGING = {scene.name: scene for scene in changing(queued=FEW, members=MEMBERS) if not scene.unknown_tasks}
STEADY = steady(queued=FEW, members=MEMBERS)


@dataclass
class Stage:
    """Plays scenes. `calls`: the AWS operations of the last tick; `commands`: how often it gave each Redis command."""

    ground: Servers
    client: redis.Redis
    ecs: Any
    deployments: TaskDeployments
    calls: list[str] = field(default_factory=list)
    commands: dict[str, int] = field(default_factory=dict)

    def play(self, scene: Scene) -> dict[str, Any]:
        """Return the record of the decision, in a tick on the scene as it begins."""
        workers = broker.workers_of(scene)
        broker.fill_queues(self.client, scene.queued)
        broker.fill_registry(self.client, workers)
        self.ground.api.reset(
            desired=scene.desired,
            tasks=[worker.member.task_arn for worker in workers],
            former=[worker.member.task_arn for worker in workers if worker.old],
        )
        broker.reset(self.client, workers, forget=True)
        settings = Settings.from_environment(self.ground.environment(scene))
        self.calls.clear()
        connection = Broker(settings.broker, read_password=lambda: "")
        connection.connect()
        broker.reset_command_counts(self.client)
        (outcome,) = tick(settings=settings, broker=connection, ecs=self.ecs, deployments=self.deployments).outcomes
        self.commands = broker.command_counts(self.client)
        connection.close()
        return outcome.to_record()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        api = AwsApi()
        stack.callback(api.close)
        server = Redis(tmp_path_factory.mktemp("redis")).start()
        stack.callback(server.stop)
        yield Servers(api=api, brokers={FEW: server, MANY: server})


@pytest.fixture(scope="module")
def ecs(ground: Servers) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ground.environment(STEADY).items():
            patch.setenv(name, value)
        yield aws.client("ecs")


@pytest.fixture
def stage(ground: Servers, ecs: Any) -> Iterator[Stage]:
    with ground.brokers[FEW].client() as client:
        found = Stage(ground=ground, client=client, ecs=ecs, deployments=TaskDeployments(ecs, cluster=CLUSTER))

        def count(model: Any, **_: Any) -> None:
            found.calls.append(model.name)

        ecs.meta.events.register("before-call.ecs", count)
        yield found
        ecs.meta.events.unregister("before-call.ecs", count)
        client.flushall()


@pytest.mark.parametrize("scene", [STEADY, *CHANGING.values()], ids=lambda scene: scene.name)
def test_a_tick_does_what_the_scene_is_to_measure(stage: Stage, scene: Scene) -> None:
    record = stage.play(scene)
    assert scene.mismatches(record) == []
    assert record["problems"] == []


@pytest.mark.parametrize("scene", [STEADY, *CHANGING.values()], ids=lambda scene: scene.name)
def test_the_redis_commands_do_not_depend_on_the_queues_length(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
    with_few = stage.commands
    record = stage.play(replace(scene, queued=MANY))
    assert record["queued"] == MANY
    assert stage.commands == with_few
    assert with_few["llen"] == 8  # two queues of four lists each


def test_a_tick_that_changes_nothing_calls_describe_services_once_and_nothing_else(stage: Stage) -> None:
    stage.play(STEADY)
    assert stage.calls == ["DescribeServices"]


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        ("half drain", ["DescribeServices"]),
        ("half have drained", ["DescribeServices", "UpdateService"]),
        ("half are recalled", ["DescribeServices", "UpdateService"]),
        # 250 ECS tasks, at most 100 a call
        ("a deployment", ["DescribeServices", *["DescribeTasks"] * 3, "UpdateService"]),
    ],
)
def test_a_tick_that_changes_something_makes_exactly_these_calls(stage: Stage, scene: str, expected: list[str]) -> None:
    stage.play(CHANGING[scene])
    assert stage.calls == expected
    assert len(expected) <= most_calls(MEMBERS)


def test_the_deployment_of_a_task_is_requested_once(stage: Stage) -> None:
    deployment = CHANGING["a deployment"]
    first = stage.play(deployment)
    second = stage.play(deployment)
    assert stage.calls == ["DescribeServices", "UpdateService"]
    assert second["drain"] == first["drain"]
    more = replace(deployment, groups=(*deployment.groups, replace(deployment.groups[0], count=1)))
    stage.play(more)
    assert stage.calls.count("DescribeTasks") == 1


def tasks_known(stage: Stage, *task_arns: str) -> list[str]:
    """Return the tasks whose deployment is known, sorted."""
    found = stage.deployments.read(pool="p", task_arns=task_arns)
    assert not isinstance(found, Unreadable)
    return sorted(found)


def test_a_task_that_ecs_does_not_know_is_requested_again(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=["a"])
    assert tasks_known(stage, "a", "b") == ["a"]
    stage.ground.api.reset(desired=1, tasks=["b"])
    assert tasks_known(stage, "a", "b") == ["a", "b"]
    assert stage.calls == ["DescribeTasks", "DescribeTasks"]


def test_a_task_that_is_gone_is_not_remembered(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=["a", "b"])
    stage.deployments.read(pool="p", task_arns=["a", "b"])
    assert tasks_known(stage, "b") == ["b"]
    stage.ground.api.reset(desired=1, tasks=[])
    assert tasks_known(stage, "a", "b") == ["b"]
