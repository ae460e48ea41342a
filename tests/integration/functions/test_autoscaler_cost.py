"""What one tick asks of Redis and of AWS: counted, by a real Redis, in the benchmark's scenes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from autoscaler.settings import Settings
from autoscaler.tick import tick
from bench.micro.function import broker
from bench.micro.function.aws_api import AwsApi
from bench.micro.function.figures import most_calls
from bench.micro.function.scenes import CLUSTER, Scene, changing, steady
from bench.micro.function.servers import Servers
from fleet.member import task_of
from local.servers.redis import Redis
from shared import aws
from shared.broker import Broker
from shared.known_tasks import ASK_AGAIN_AFTER_S, KnownTasks

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
    tasks: KnownTasks
    clock: list[float]
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
        if not scene.unknown_tasks:
            self.tasks.read([task_of(worker.member.id) for worker in workers])
        self.calls.clear()
        connection = Broker(settings.broker, read_password=lambda: "")
        connection.connect()
        broker.reset_command_counts(self.client)
        (outcome,) = tick(settings=settings, broker=connection, ecs=self.ecs, tasks=self.tasks).outcomes
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
        clock = [0.0]
        tasks = KnownTasks(ecs, cluster=CLUSTER, clock=lambda: clock[0])
        found = Stage(ground=ground, client=client, ecs=ecs, tasks=tasks, clock=clock)

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
        ("a deployment", ["DescribeServices", "UpdateService"]),
    ],
)
def test_a_tick_that_changes_something_makes_exactly_these_calls(stage: Stage, scene: str, expected: list[str]) -> None:
    stage.play(CHANGING[scene])
    assert stage.calls == expected
    assert len(expected) <= most_calls(MEMBERS)


def test_ecs_is_asked_about_each_worker_once_a_hundred_a_call(stage: Stage) -> None:
    deployment = replace(CHANGING["a deployment"], unknown_tasks=True)
    first = stage.play(deployment)
    assert stage.calls == ["DescribeServices", *["DescribeTasks"] * 3, "UpdateService"]  # 250 ECS tasks
    assert len(stage.calls) <= most_calls(MEMBERS)
    second = stage.play(deployment)
    assert stage.calls == ["DescribeServices", "UpdateService"]
    assert second["drain"] == first["drain"]
    more = replace(deployment, groups=(*deployment.groups, replace(deployment.groups[0], count=1)))
    stage.play(more)
    assert stage.calls.count("DescribeTasks") == 1


A, B = f"{1:032x}", f"{2:032x}"


def tasks_known(stage: Stage, *names: str, anew: tuple[str, ...] = ()) -> list[str]:
    """Return the tasks that ECS knows, sorted."""
    answers = stage.tasks.read(names, anew=anew)
    assert answers.problem == ""
    return sorted(name for name, task in answers.tasks.items() if task)


def test_a_task_that_ecs_does_not_know_is_requested_again_after_a_while(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=[f"cluster/{A}"])
    assert tasks_known(stage, A, B) == [A]
    stage.ground.api.reset(desired=1, tasks=[f"cluster/{B}"])
    assert tasks_known(stage, A, B) == [A]
    assert stage.calls == ["DescribeTasks"]
    stage.clock[0] = ASK_AGAIN_AFTER_S
    assert tasks_known(stage, A, B) == [A, B]
    assert stage.calls == ["DescribeTasks"] * 2


def test_a_known_task_is_requested_again_only_if_asked_anew(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=[f"cluster/{A}"])
    assert tasks_known(stage, A) == [A]
    stage.ground.api.reset(desired=1, tasks=[])
    assert tasks_known(stage, A, anew=(A,)) == [A]
    stage.clock[0] = ASK_AGAIN_AFTER_S
    assert tasks_known(stage, A) == [A]
    assert tasks_known(stage, A, anew=(A,)) == []


def test_a_task_that_no_member_claims_is_not_remembered(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=[f"cluster/{A}", f"cluster/{B}"])
    assert tasks_known(stage, A, B) == [A, B]
    assert tasks_known(stage, B) == [B]
    stage.ground.api.reset(desired=1, tasks=[])
    assert tasks_known(stage, A, B) == [B]


def test_ecs_is_asked_about_no_name_that_would_make_it_refuse_the_call(stage: Stage) -> None:
    stage.ground.api.reset(desired=1, tasks=[f"cluster/{A}"])
    assert tasks_known(stage, "x", A, A.upper(), f"{A}0", "") == [A]


def test_a_registry_full_of_forged_names_costs_ten_calls_a_tick(stage: Stage) -> None:
    forged = [f"{number:032x}" for number in range(10_000)]
    answers = stage.tasks.read(forged)
    assert stage.calls == ["DescribeTasks"] * 10
    assert len(answers.tasks) == 1000
    assert answers.problem == "10000 ECS tasks to ask about, at most 1000 in a tick"
    stage.tasks.read(forged)
    assert len(stage.tasks.read(forged).tasks) == 3000
