"""The version check on a real Redis, with ECS's answers scripted call by call."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from botocore.stub import Stubber

from fleet import registry
from fleet.registry import Member, Registry
from shared import aws
from shared.broker import Broker
from shared.settings import BrokerSettings
from version_check.compare import IN_SYNC, OUT_OF_SYNC, UNKNOWN
from version_check.handler import Wiring, check, publish
from version_check.settings import Settings

CLUSTER = "stack-Cluster"
SERVICES = {"airflow": "stack-Airflow", "worker": "stack-Worker", "flower": "stack-Flower"}
AIRFLOW_ROLES = ("webserver", "scheduler", "dag-processor", "triggerer")
ARN = "arn:aws:ecs:eu-central-1:123456789012"


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A client whose every call must be the next one scripted."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with Stubber(aws.client("ecs")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def client(redis_server: Any) -> Iterator[redis.Redis]:
    redis_server.client.flushall()
    yield redis_server.client
    redis_server.client.flushall()


@pytest.fixture
def parts(redis_server: Any, ecs: Stubber) -> Iterator[Wiring]:
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, secret_arn="-")
    broker = Broker(where, read_password=lambda: "")
    yield Wiring(settings=Settings(broker=where, cluster=CLUSTER, services=SERVICES), broker=broker, ecs=ecs.client)
    broker.close()


def describes_services(ecs: Stubber, **deployments: int) -> None:
    """The three services, with one live deployment each unless stated otherwise, and an old one that is history."""
    ecs.add_response(
        "describe_services",
        {
            "services": [
                {
                    "serviceName": name,
                    "serviceArn": f"{ARN}:service/{CLUSTER}/{name}",
                    "status": "ACTIVE",
                    "deployments": [
                        *({"status": "ACTIVE" if n else "PRIMARY"} for n in range(deployments.get(key, 1))),
                        {"status": "INACTIVE"},
                    ],
                }
                for key, name in SERVICES.items()
            ]
        },
        {"cluster": CLUSTER, "services": list(SERVICES.values())},
    )


def lists(ecs: Stubber, service: str, *tasks: str, status: str = "RUNNING") -> None:
    asked = {"cluster": CLUSTER, "serviceName": SERVICES[service]}
    arns = [f"{ARN}:task/{CLUSTER}/{task}" for task in tasks]
    ecs.add_response("list_tasks", {"taskArns": arns}, asked)
    if tasks:
        answer = [{"taskArn": arn, "lastStatus": status} for arn in arns]
        ecs.add_response("describe_tasks", {"tasks": answer}, {"cluster": CLUSTER, "tasks": arns})


def one_of_each(ecs: Stubber) -> None:
    describes_services(ecs)
    for service, task in (("airflow", "t1"), ("worker", "t2"), ("flower", "t3")):
        lists(ecs, service, task)


def report(client: redis.Redis, task: str, *roles: str, **other: Any) -> None:
    for role in roles:
        values: dict[str, Any] = {
            "id": f"{task}/{role}",
            "role": role,
            "pool": None,
            "image_version": "2.0",
            "dags_hash": "abc",
            "airflow_version": "3.3.2",
            "state": registry.CONSUMING if role == "worker" else registry.RUNNING,
            "slots": 0,
            "active": 0,
            "protected": False,
            "started_at": 0.0,
            "task_arn": f"{ARN}:task/{CLUSTER}/{task}",
            "container": role,
            "queues": (),
        }
        Registry(client).report(Member(**(values | other)))


def report_all(client: redis.Redis) -> None:
    report(client, "t1", *AIRFLOW_ROLES)
    report(client, "t2", "worker")
    report(client, "t3", "flower")


def unknown(parts: Wiring) -> dict[str, str]:
    verdict = check(parts)
    assert verdict.status == UNKNOWN
    return {gap.who: gap.why for gap in verdict.unknown}


def test_all_who_run_have_reported_the_same(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    one_of_each(ecs)
    report_all(client)
    verdict = check(parts)
    assert (verdict.status, verdict.compared) == (IN_SYNC, 6)


def test_a_worker_with_other_dags_is_named_with_its_tasks(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    one_of_each(ecs)
    report_all(client)
    report(client, "t2", "worker", dags_hash="old", active=7)
    verdict = check(parts)
    assert verdict.status == OUT_OF_SYNC
    (odd,) = verdict.out_of_sync
    assert (odd.member, odd.field, odd.value, odd.expected, odd.active) == (
        "t2/worker",
        "dags_hash",
        "old",
        "abc",
        7,
    )


def test_a_running_container_that_has_not_reported_is_unknown(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    one_of_each(ecs)
    report(client, "t1", *AIRFLOW_ROLES[:3])
    report(client, "t3", "flower")
    assert set(unknown(parts)) == {"t1/triggerer", "t2/worker"}


def test_a_task_that_does_not_run_yet_need_not_report(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    describes_services(ecs)
    lists(ecs, "airflow", "t1")
    lists(ecs, "worker", "t2", status="PENDING")
    lists(ecs, "flower")
    report(client, "t1", *AIRFLOW_ROLES)
    assert check(parts).status == IN_SYNC


def test_a_rollout_is_unknown_what_comes_has_not_reported(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    describes_services(ecs, worker=2)
    for service, task in (("airflow", "t1"), ("worker", "t2"), ("flower", "t3")):
        lists(ecs, service, task)
    report_all(client)
    assert unknown(parts) == {"worker": "a deployment is rolling out"}


def test_a_malformed_record_is_unknown(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    one_of_each(ecs)
    report_all(client)
    client.set(registry.member_key("t2/worker"), "no JSON")
    assert unknown(parts) == {"t2/worker": "its record is malformed"}


@pytest.mark.parametrize("operation", ["describe_services", "list_tasks", "describe_tasks"])
def test_what_ecs_does_not_say_is_unknown(parts: Wiring, ecs: Stubber, client: redis.Redis, operation: str) -> None:
    calls: Sequence[Callable[[], None]] = (
        lambda: describes_services(ecs),
        lambda: lists(ecs, "airflow", "t1"),
        lambda: lists(ecs, "worker"),
        lambda: lists(ecs, "flower"),
    )
    if operation == "describe_services":
        ecs.add_client_error(operation, service_error_code="ThrottlingException")
    else:
        calls[0]()
    if operation == "list_tasks":
        ecs.add_client_error(operation, service_error_code="ThrottlingException")
    elif operation == "describe_tasks":
        arn = f"{ARN}:task/{CLUSTER}/t1"
        ecs.add_response("list_tasks", {"taskArns": [arn]})
        ecs.add_client_error(operation, service_error_code="ThrottlingException")
    else:
        calls[1]()
    for call in calls[2:]:
        call()
    report(client, "t1", *AIRFLOW_ROLES)
    gaps = unknown(parts)
    assert "airflow" in gaps
    assert all("ThrottlingException" in why for why in gaps.values())


def test_a_service_that_is_gone_is_unknown(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    ecs.add_response(
        "describe_services", {"services": [], "failures": [{"arn": "x/stack-Worker", "reason": "MISSING"}]}
    )
    lists(ecs, "airflow", "t1")
    lists(ecs, "worker")
    lists(ecs, "flower")
    report(client, "t1", *AIRFLOW_ROLES)
    gaps = unknown(parts)
    assert set(gaps) == set(SERVICES)
    assert gaps["worker"].endswith("is MISSING")


def test_redis_away_is_unknown(parts: Wiring, ecs: Stubber) -> None:
    one_of_each(ecs)
    where = BrokerSettings(host="127.0.0.1", port=1, tls=False, secret_arn="-")
    away = Wiring(settings=parts.settings, broker=Broker(where, read_password=lambda: ""), ecs=parts.ecs)
    assert "ConnectionError" in unknown(away)["fleet"]
    away.broker.close()


def test_more_tasks_than_one_page_and_one_call_hold(parts: Wiring, ecs: Stubber, client: redis.Redis) -> None:
    tasks = [f"{ARN}:task/{CLUSTER}/w{n}" for n in range(150)]
    describes_services(ecs)
    lists(ecs, "airflow", "t1")
    asked = {"cluster": CLUSTER, "serviceName": SERVICES["worker"]}
    ecs.add_response("list_tasks", {"taskArns": tasks[:100], "nextToken": "more"}, asked)
    ecs.add_response("list_tasks", {"taskArns": tasks[100:]}, {**asked, "nextToken": "more"})
    for batch in (tasks[:100], tasks[100:]):
        answer = [{"taskArn": arn, "lastStatus": "RUNNING"} for arn in batch]
        ecs.add_response("describe_tasks", {"tasks": answer}, {"cluster": CLUSTER, "tasks": batch})
    lists(ecs, "flower")
    report(client, "t1", *AIRFLOW_ROLES)
    assert len(unknown(parts)) == 150


@pytest.mark.parametrize(
    ("reported", "in_sync", "is_unknown"),
    [(("same",), 1, 0), (("other",), 0, 0), ((), 0, 1)],
    ids=["in sync", "out of sync", "unknown"],
)
def test_the_metrics_say_it_with_two_figures(
    parts: Wiring,
    ecs: Stubber,
    client: redis.Redis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    reported: tuple[str, ...],
    in_sync: int,
    is_unknown: int,
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AirflowOnEcs")
    one_of_each(ecs)
    report_all(client)
    for version in reported:
        report(client, "t2", "worker", image_version="2.0" if version == "same" else version)
    if not reported:
        Registry(client).forget("t2/worker")
    publish(check(parts))
    out = capsys.readouterr().out
    assert f'"VersionsInSync":[{in_sync}.0]' in out
    assert f'"VersionsUnknown":[{is_unknown}.0]' in out
