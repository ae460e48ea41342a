"""A notice of AWS Health, from its event to new tasks, on the local AWS API."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from autoscaler.observation import Service
from autoscaler.services import read_services
from fleet.pools import Pool
from retirement import handler as entry
from retirement.handler import NotCarriedOut, handler
from retirement.settings import Settings
from shared.service_names import ServiceNames
from shared.settings import SettingsError
from tests.support.aws_api import AwsApi
from tests.support.function_role import OF_LAMBDA, FunctionRole, lacks, warnings_in
from tests.support.servers import RedisServer
from tests.support.throttling import throttling
from tests.support.version_world import FakeWebserver, World

NOTHING: dict[str, list[str]] = {"recorded": [], "deployed": []}
LISTS = "ecs:ListServices"
# Of the role; `make test` takes the first away, `make test-all` each.
ACTIONS = (
    *("ecs:UpdateService", "ecs:DescribeServices", "ecs:DescribeTasks", LISTS, "ecs:ListTasks", "ecs:TagResource"),
)


def marks_of(action: str) -> list[pytest.MarkDecorator]:
    return [] if action == ACTIONS[0] else [pytest.mark.slow]


@pytest.fixture
def world(api: AwsApi, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    webserver = FakeWebserver()
    ecs, client = api.client("ecs"), redis_server.client
    made = World(ecs=ecs, redis=client, webserver=webserver, cluster=f"c{uuid.uuid4().hex}").build()
    settings = Settings(cluster=made.cluster, services=made.services)
    names = ServiceNames(made.ecs, cluster=made.cluster)
    monkeypatch.setattr(entry, "wiring", lambda: (settings, made.ecs, names))
    yield made
    webserver.close()


@pytest.fixture
def role(world: World, api: AwsApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[FunctionRole]:
    """Give the function its role, which is refused nothing."""
    made = FunctionRole(api, "Retirement", stack=world.cluster, arns=world.template_arns)
    settings, ecs = entry.wiring()[0], made.client("ecs")
    names = ServiceNames(ecs, cluster=world.cluster)
    monkeypatch.setattr(entry, "wiring", lambda: (settings, ecs, names))
    yield made
    assert made.refused == []


def notice(world: World, *values: str) -> dict[str, Any]:
    # The time has whole seconds: the tasks are to be older.
    at = time.gmtime(time.time() + 1)
    detail = {
        "service": "ECS",
        "eventTypeCode": "AWS_ECS_TASK_PATCHING_RETIREMENT",
        "eventRegion": world.ecs.meta.region_name,
        "affectedEntities": [{"entityValue": value} for value in values],
    }
    return {"source": "aws.health", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", at), "detail": detail}


def named(world: World, key: str) -> str:
    return f"{world.cluster}|{world.services[key]}"


def deployments(world: World, key: str) -> int:
    answer = world.ecs.describe_services(cluster=world.cluster, services=[world.services[key]])
    return len(answer["services"][0]["deployments"])


def seen_by_autoscaler(world: World) -> Service:
    pool = Pool(
        name="worker", service=world.services["worker"], queues=("default",), minimum=1, maximum=1, concurrency=1
    )
    service = read_services(world.ecs, cluster=world.cluster, pools=[pool])["worker"]
    assert isinstance(service, Service)
    return service


def wait_until_after(event: dict[str, Any]) -> None:
    """Let the notice's time pass, so that it is not cut to the present."""
    while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) <= event["time"]:
        time.sleep(0.1)


@pytest.mark.usefixtures("role")
def test_a_pool_is_tagged_for_the_autoscaler_and_not_deployed(world: World) -> None:
    assert seen_by_autoscaler(world).retire_before is None
    event = notice(world, named(world, "worker"))
    wait_until_after(event)
    assert handler(event, None) == {"recorded": ["worker"], "deployed": []}
    assert seen_by_autoscaler(world).retire_before == pytest.approx(time.time(), abs=5)
    assert deployments(world, "worker") == 1


@pytest.mark.usefixtures("role")
def test_airflow_and_flower_are_deployed_anew_once(world: World) -> None:
    task = world.arns[world.tasks["airflow"][0]]
    event = notice(world, task, named(world, "flower"))  # one by its task, one by its service
    wait_until_after(event)
    assert handler(event, None) == {"recorded": ["airflow", "flower"], "deployed": ["airflow", "flower"]}
    assert (deployments(world, "airflow"), deployments(world, "flower")) == (2, 2)
    # The same notice again, and the hour's invocation, while the deployments roll out.
    assert handler(event, None) == {"recorded": ["airflow", "flower"], "deployed": []}
    assert handler({"source": "aws.events"}, None) == NOTHING
    for key in ("airflow", "flower"):
        world.start(key)
        world.stop(key, world.tasks[key][0])
    assert handler({"source": "aws.events"}, None) == NOTHING
    assert (deployments(world, "airflow"), deployments(world, "flower")) == (1, 1)


def test_a_service_that_rolls_out_is_left_to_itself(world: World) -> None:
    world.deploy("flower", image="airflow:2.1")
    event = notice(world, named(world, "flower"))
    wait_until_after(event)
    assert handler(event, None) == {"recorded": ["flower"], "deployed": []}
    assert handler({}, None) == NOTHING
    assert deployments(world, "flower") == 2


def test_a_notice_about_others_changes_nothing(world: World) -> None:
    other = "arn:aws:ecs:eu-west-1:123456789012:task/other/0123456789abcdef0123456789abcdef"
    assert handler(notice(world, "other|worker", other, "what is this"), None) == NOTHING


@pytest.mark.usefixtures("role")
def test_a_later_notice_replaces_the_tag_and_an_earlier_one_does_not(world: World) -> None:
    first = notice(world, named(world, "worker"))
    wait_until_after(first)
    handler(first, None)
    before = seen_by_autoscaler(world).retire_before
    handler(first | {"time": "2020-01-01T00:00:00Z"}, None)
    assert seen_by_autoscaler(world).retire_before == before
    second = notice(world, named(world, "worker"))
    wait_until_after(second)
    handler(second, None)
    assert before is not None
    assert (seen_by_autoscaler(world).retire_before or 0) > before


def test_a_tag_in_the_future_is_replaced(world: World) -> None:
    service = world.ecs.describe_services(cluster=world.cluster, services=[world.services["flower"]])["services"][0]
    tag = {"key": "airflow-on-ecs:retire-before", "value": str(10**12)}
    world.ecs.tag_resource(resourceArn=service["serviceArn"], tags=[tag])
    assert handler({}, None) == NOTHING
    event = notice(world, named(world, "flower"))
    wait_until_after(event)
    assert handler(event, None) == {"recorded": ["flower"], "deployed": ["flower"]}


@pytest.mark.parametrize("operation", ["TagResource", "DescribeServices", "DescribeTasks", "UpdateService"])
def test_what_ecs_refuses_is_done_when_lambda_tries_again(world: World, operation: str) -> None:
    event = notice(world, world.arns[world.tasks["flower"][0]])
    wait_until_after(event)
    with throttling(world.ecs, operation), pytest.raises(NotCarriedOut, match="Throttling"):
        handler(event, None)
    assert handler(event, None) == {"recorded": ["flower"], "deployed": ["flower"]}


def test_a_notice_needs_every_action_that_the_role_allows(world: World, role: FunctionRole) -> None:
    event = notice(world, world.arns[world.tasks["flower"][0]])
    wait_until_after(event)
    assert handler(event, None) == {"recorded": ["flower"], "deployed": ["flower"]}
    assert role.granted - role.used == OF_LAMBDA
    assert role.used == set(ACTIONS)


@pytest.mark.parametrize("action", [pytest.param(action, marks=marks_of(action)) for action in ACTIONS])
def test_an_action_that_the_role_lacks_is_told_in_words(
    world: World, api: AwsApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, action: str
) -> None:
    role = FunctionRole(api, "Retirement", stack=world.cluster, arns=world.template_arns, without=action)
    settings, ecs = entry.wiring()[0], role.client("ecs")
    monkeypatch.setattr(entry, "wiring", lambda: (settings, ecs, ServiceNames(ecs, cluster=world.cluster)))
    event = notice(world, world.arns[world.tasks["flower"][0]])
    wait_until_after(event)
    if action == LISTS:  # the settings of this test name the services in full
        assert handler(event, None) == {"recorded": ["flower"], "deployed": ["flower"]}
    else:
        with pytest.raises(NotCarriedOut, match=lacks(action)):
            handler(event, None)
    assert lacks(action) in warnings_in(caplog)
    assert role.refused
    assert all(lacks(action) in message for message in role.refused)


@pytest.mark.parametrize("services", ["[]", '{"flower": "f"}', '{"airflow": 1, "flower": "f"}', "x"])
def test_malformed_settings_are_named(services: str) -> None:
    with pytest.raises(SettingsError, match="SERVICES"):
        Settings.from_environment({"CLUSTER": "c", "SERVICES": services})


def test_settings_are_read() -> None:
    services = {"airflow": "a", "worker": "w", "flower": "f"}
    settings = Settings.from_environment({"CLUSTER": "c", "SERVICES": json.dumps(services)})
    assert (settings.cluster, settings.replaced) == ("c", {"airflow": "a", "flower": "f"})
    less = Settings.from_environment({"CLUSTER": "c", "SERVICES": json.dumps({"airflow": "a", "worker": "w"})})
    assert less.replaced == {"airflow": "a"}
