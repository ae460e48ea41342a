"""The version check on a real Redis, the local ECS control plane and HTTP."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from fleet.bundles import Bundle, OlderTask, VersionInUse
from fleet.member import CONSUMING, DRAINING, STARTING
from fleet.registry import BUNDLES_KEY, MEMBERS_KEY, QUIET_KEY, TOLD_KEY, WORK_KEY, Registry, member_key
from fleet.work import DEFAULT_LIMITS, FailedRun, WorkReport, parse_limits
from local.servers.ports import free_port
from ops.cost.estimate import WORK_METRICS
from ops.delivery.gate import has_arrived
from shared import aws
from shared.broker import Broker
from shared.service_names import ServiceNames
from shared.settings import BrokerSettings
from tests.support.aws_api import AwsApi
from tests.support.function_role import OF_LAMBDA, FunctionRole, lacks
from tests.support.releases import a_release
from tests.support.servers import RedisServer
from tests.support.version_world import CODE, FakeWebserver, World
from tests.support.work_reports import NOTHING_WRONG, a_report
from version_check.check import Wiring, check
from version_check.memory import UNKNOWN_SETTLES_S, Store
from version_check.report import Outcome
from version_check.settings import Settings
from version_check.verdict import IN_SYNC, OUT_OF_SYNC, UNKNOWN
from version_check.work import publish_work


@pytest.fixture(scope="module")
def clients(api: AwsApi) -> dict[str, Any]:
    return {name: api.client(name) for name in ("ecs", "kms", "sns", "sqs")}


@pytest.fixture
def world(clients: dict[str, Any], redis_server: RedisServer) -> Iterator[World]:
    redis_server.client.flushall()
    webserver = FakeWebserver()
    name = f"c{uuid.uuid4().hex}"
    yield World(ecs=clients["ecs"], redis=redis_server.client, webserver=webserver, cluster=name).build()
    webserver.close()


@pytest.fixture
def inbox(clients: dict[str, Any]) -> tuple[str, Callable[[], list[dict[str, str]]]]:
    """Return a topic, and a function that returns the messages sent to it since the last call."""
    sns, sqs = clients["sns"], clients["sqs"]
    name = uuid.uuid4().hex
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def read() -> list[dict[str, str]]:
        found = []
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return found

    return topic, read


@pytest.fixture
def parts(clients: dict[str, Any], world: World, inbox: Any, redis_server: RedisServer) -> Iterator[Wiring]:
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, user="default", secret_arn="-")
    broker = Broker(where, read_password=lambda: "")
    settings = Settings(
        broker=where,
        cluster=world.cluster,
        services=world.services,
        webserver_url=world.webserver.url,
        site_url="http://airflow.example.com",
        limits=parse_limits(DEFAULT_LIMITS),
        topic_arn=inbox[0],
    )
    yield Wiring(settings=settings, broker=broker, ecs=world.ecs, sns=lambda: clients["sns"])
    broker.close()


@pytest.fixture
def look(parts: Wiring) -> Callable[[], Outcome]:
    return lambda: check(parts)


Look = Callable[[], Outcome]


def gaps(outcome: Outcome) -> dict[str, str]:
    assert outcome.verdict.status == UNKNOWN, outcome.verdict
    return {gap.who: gap.why for gap in outcome.verdict.unknown}


def odd(outcome: Outcome) -> set[tuple[str, str, str]]:
    assert outcome.verdict.status == OUT_OF_SYNC, outcome.verdict
    return {(each.member, each.field, each.value) for each in outcome.verdict.out_of_sync}


def remembers(world: World, **changes: Any) -> None:
    """Change the stored memory as if the last check had left other figures."""
    store = Store(world.redis)
    memory, raw = store.read()
    assert raw is not None
    world.redis.set("fleet:versions", json.dumps({**json.loads(raw), **changes}))
    assert store.read()[0] != memory


def test_all_who_run_report_and_answer_the_same(look: Look) -> None:
    outcome = look()
    assert (outcome.verdict.status, outcome.verdict.compared) == (IN_SYNC, 7)
    assert outcome.memory is not None
    assert outcome.memory.seconds_out_of_sync() == 0


def test_a_worker_with_the_same_image_and_an_edited_dag_is_found(world: World, look: Look) -> None:
    (task,) = world.tasks["worker"]
    world.report("worker", task, dags_hash="edited", active=7)
    outcome = look()
    assert odd(outcome) == {(f"{task}/worker", "dags_hash", "edited")}
    (difference,) = outcome.verdict.out_of_sync
    assert (difference.expected, difference.active, difference.is_draining) == (CODE["dags_hash"], 7, False)


def test_a_worker_that_stops_reporting_makes_it_unknown(world: World, look: Look) -> None:
    assert look().verdict.status == IN_SYNC
    world.forget("worker")
    (task,) = world.tasks["worker"]
    outcome = look()
    assert gaps(outcome) == {f"{task}/worker": "runs but does not report"}
    assert outcome.verdict.unknown[0].since is not None


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("html", "answers text/html, not application/json"),
        ("redirect", "answers HTTP 302"),
        ("error", "answers HTTP 500"),
        ("garbage", "the answer is not application/json"),
        ("nonsense", "the answer lacks the version"),
        ("nothing", "does not answer: RemoteDisconnected"),
    ],
)
def test_a_webserver_that_answers_anything_else_makes_it_unknown(world: World, look: Look, mode: str, why: str) -> None:
    world.webserver.mode = mode
    (found,) = gaps(look()).items()
    assert found[0] == "webserver"
    assert found[1].startswith(why)


def test_a_webserver_that_cannot_be_reached_makes_it_unknown(world: World, look: Look) -> None:
    world.webserver.close()
    assert gaps(look())["webserver"].startswith("does not answer: ConnectionRefusedError")


def test_a_webserver_that_shows_other_code_than_its_container_reports_is_found(world: World, look: Look) -> None:
    world.webserver.answer["dags_hash"] = "newer"
    assert {field for _, field, _ in odd(look())} == {"dags_hash"}


def test_a_rollout_is_unknown_until_its_new_tasks_have_reported(world: World, look: Look) -> None:
    world.deploy("worker", image="airflow:2.0")
    (why,) = gaps(look()).values()
    assert why == "a deployment is rolling out: 0 of 1 new ECS tasks run, old ECS tasks left: 1"


def test_a_rollout_ends_in_sync_when_the_last_old_worker_is_gone(world: World, look: Look) -> None:
    (old,) = world.tasks["worker"]
    for key in ("airflow", "worker", "flower"):
        world.deploy(key, image="airflow:3.0")
    new = world.start("worker", image_version="3.0", dags_hash="def")
    world.report("worker", old, state=DRAINING, active=2)
    mixed = {(f"{new}/worker", "image_version", "3.0"), (f"{new}/worker", "dags_hash", "def")}
    assert mixed < odd(look())

    previous = {key: world.tasks[key][0] for key in ("airflow", "flower")}
    for key in previous:
        world.start(key, image_version="3.0", dags_hash="def")
    for key, task in previous.items():
        world.stop(key, task)
    outcome = look()
    assert {(f"{old}/worker", "image_version", "2.0")} < odd(outcome)
    draining = [each for each in outcome.verdict.out_of_sync if each.member.startswith(old)]
    assert all(each.is_draining and each.active == 2 for each in draining if each.field != "image_digest")

    world.stop("worker", old)
    Registry(world.redis).forget(f"{old}/worker")
    assert look().verdict.status == IN_SYNC


@pytest.mark.parametrize("code", [{}, {"image_version": "1.0", "dags_hash": "old"}], ids=["same image", "other image"])
def test_a_release_has_arrived_when_old_workers_only_drain(world: World, look: Look, code: dict[str, str]) -> None:
    """A deployment that changes only a worker's size, say, leaves no difference in code to tell the old ones by."""
    release = a_release(CODE["image_version"])

    def has_release() -> bool:
        return has_arrived(json.loads(json.dumps(look().to_record())), release)

    (old,) = world.tasks["worker"]
    world.deploy("worker", image="airflow:2.0")
    world.report("worker", old, state=DRAINING, active=2, **code)
    assert not has_release()  # no new worker takes tasks
    new = world.start("worker", reports=False)
    assert not has_release()
    world.report("worker", new, state=STARTING)
    assert not has_release()
    world.report("worker", new, state=CONSUMING)
    assert has_release()
    (gap,) = look().verdict.unknown
    assert gap.why == "a deployment is rolling out: 1 of 1 new ECS tasks run, old ECS tasks left: 1, which only drain"
    world.report("worker", old, state=CONSUMING, active=2, **code)  # recalled
    assert not has_release()


def test_a_tag_that_was_moved_is_found_though_all_report_the_same(world: World, look: Look) -> None:
    task = world.start("worker")
    moved = [{"containerName": "worker", "imageDigest": "sha256:other"}]
    world.ecs.submit_task_state_change(cluster=world.cluster, task=task, containers=moved)
    outcome = look()
    assert odd(outcome) == {(f"{task}/worker", "image_digest", "sha256:other")}
    assert outcome.verdict.notes == ("the image airflow:2.0 runs with more than one digest: its tag was moved",)


def test_a_new_task_that_has_not_reported_is_found_by_the_image_that_ecs_started(world: World, look: Look) -> None:
    world.deploy("worker", image="airflow:3.0")
    task = world.start("worker", reports=False)
    assert {(member, field) for member, field, _ in odd(look())} == {(f"{task}/worker", "image_digest")}


def test_a_worker_that_is_stopped_and_still_runs_tasks_is_compared(world: World, look: Look) -> None:
    task = world.start("worker", image_version="1.0")
    world.stop("worker", task, gone=False)
    (difference,) = look().verdict.out_of_sync
    assert (difference.member, difference.is_draining) == (f"{task}/worker", True)


def test_stale_malformed_and_foreign_entries_change_nothing_but_a_figure(world: World, look: Look) -> None:
    before = look().verdict
    now = Registry(world.redis).now()
    for number in range(300):
        world.report_one(f"{number:032x}", "worker", image_version="0.1")
        world.report_one(f"no task {number}", "webserver", airflow_version="9.9")
        world.redis.set(member_key(f"malformed {number}"), b"\xff{")
        world.redis.zadd(MEMBERS_KEY, {f"malformed {number}": now, f"stale {number}": 1.0})
        world.redis.zadd(MEMBERS_KEY, {b"\xff\xfe%d" % number: now})
    world.report("airflow", world.tasks["airflow"][0])  # whose answer the strangers have taken over in this test
    after = look().verdict
    assert (after.status, after.compared, after.unknown) == (before.status, before.compared, before.unknown)
    assert (len(after.strays), after.malformed) == (600, 600)


def test_a_malformed_record_of_a_running_container_is_unknown(world: World, look: Look) -> None:
    (task,) = world.tasks["worker"]
    world.redis.set(member_key(f"{task}/worker"), "no JSON")
    assert gaps(look()) == {f"{task}/worker": "its record is malformed"}


def test_a_full_redis_is_read_and_the_result_is_not_stored(world: World, look: Look) -> None:
    look()
    world.redis.config_set("maxmemory", 1)
    try:
        outcome = look()
    finally:
        world.redis.config_set("maxmemory", 0)
    assert outcome.verdict.status == IN_SYNC
    assert "result not stored in Redis: OutOfMemoryError" in outcome.problems[0]


def test_redis_away_is_unknown_and_nothing_is_remembered(parts: Wiring) -> None:
    where = BrokerSettings(host="127.0.0.1", port=free_port(), tls=False, user="default", secret_arn="-")
    away = Wiring(settings=parts.settings, broker=Broker(where, read_password=lambda: ""), ecs=parts.ecs, sns=parts.sns)
    outcome = check(away)
    assert "ConnectionError" in gaps(outcome)["fleet registry"]
    assert outcome.memory is None


def test_a_service_that_is_gone_is_unknown(world: World, look: Look) -> None:
    world.ecs.delete_service(cluster=world.cluster, service=world.services["worker"], force=True)
    assert gaps(look())["worker"].endswith("is DRAINING")


@pytest.mark.parametrize("operation", ["describe_services", "list_tasks", "describe_tasks"])
def test_what_ecs_does_not_say_is_unknown(
    world: World, parts: Wiring, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    with Stubber(aws.client("ecs")) as stubbed:
        throttled = stubbed.client

        class Ecs:
            """The ECS of the world, with one operation throttled."""

            def __getattr__(self, name: str) -> Any:
                if name == operation or (operation == "list_tasks" and name == "get_paginator"):
                    stubbed.add_client_error(operation, service_error_code="ThrottlingException")
                    return getattr(throttled, name)
                return getattr(world.ecs, name)

        outcome = check(Wiring(settings=parts.settings, broker=parts.broker, ecs=Ecs(), sns=parts.sns))
    assert all("ThrottlingException" in why for why in gaps(outcome).values())


def test_a_skew_is_notified_once_and_its_end_once(world: World, look: Look, inbox: Any) -> None:
    (task,) = world.tasks["worker"]
    look()
    assert inbox[1]() == []
    world.report("worker", task, image_version="1.0", active=3)
    look(), look()
    (message,) = inbox[1]()
    assert "some containers run other code than the webserver" in message["Subject"]
    assert f"{task}/worker: image_version 1.0 instead of 2.0 (consuming, 3 active tasks)" in message["Message"]
    world.report("worker", task)
    look(), look()
    (message,) = inbox[1]()
    assert "all containers run the same code again" in message["Subject"]


def test_a_silence_that_lasts_is_notified(world: World, look: Look, inbox: Any) -> None:
    look()
    world.forget("worker")
    since = Registry(world.redis).now()
    look()
    assert inbox[1]() == []
    remembers(world, since=since - UNKNOWN_SETTLES_S)
    look()
    (message,) = inbox[1]()
    assert "runs but does not report" in message["Message"]


def test_a_notification_that_fails_is_sent_by_the_next_check(
    world: World, parts: Wiring, inbox: Any, clients: dict[str, Any]
) -> None:
    check(parts)
    world.report("worker", world.tasks["worker"][0], image_version="1.0")
    with Stubber(clients["sns"]) as stubbed:
        stubbed.add_client_error("publish", service_error_code="AuthorizationError")
        assert check(parts).problems[0].startswith("the notification failed")
    check(parts)
    assert len(inbox[1]()) == 1


def with_role(
    parts: Wiring, world: World, api: AwsApi, clients: dict[str, Any], *, without: str = ""
) -> tuple[Wiring, FunctionRole]:
    """Return the check with its role, and a topic that a key encrypts."""
    topic, key = parts.settings.topic_arn, clients["kms"].create_key()["KeyMetadata"]["Arn"]
    arns = {**world.template_arns, "AlarmTopic": topic, "Key": key}
    role = FunctionRole(api, "VersionCheck", stack=world.cluster, arns=arns, without=without)
    clients["sns"].set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key)
    own = Wiring(settings=parts.settings, broker=parts.broker, ecs=role.client("ecs"), sns=lambda: role.client("sns"))
    return own, role


def test_a_notification_needs_every_action_that_the_role_allows(
    api: AwsApi, world: World, parts: Wiring, inbox: Any, clients: dict[str, Any]
) -> None:
    own, role = with_role(parts, world, api, clients)
    ServiceNames(own.ecs, cluster=world.cluster).find(world.services.values())  # as the handler does
    check(own)
    world.report("worker", world.tasks["worker"][0], image_version="1.0")
    assert check(own).problems == ()
    assert len(inbox[1]()) == 1
    assert role.refused == []
    # Lambda reports a lost event with the same permission. This broker has no password.
    rest = OF_LAMBDA - {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"} | {"secretsmanager:GetSecretValue"}
    assert role.granted - role.used == rest


@pytest.mark.parametrize("action", ["sns:Publish", "kms:GenerateDataKey", "kms:Decrypt"])
def test_a_notification_that_the_role_does_not_allow_is_told_in_words(
    api: AwsApi, world: World, parts: Wiring, clients: dict[str, Any], action: str
) -> None:
    own, role = with_role(parts, world, api, clients, without=action)
    check(own)
    world.report("worker", world.tasks["worker"][0], image_version="1.0")
    (problem,) = check(own).problems
    (message,) = role.refused
    assert lacks(action) in message
    assert lacks(action) in problem


@pytest.mark.parametrize("action", ["ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListTasks"])
def test_what_the_role_may_not_read_is_unknown_in_words(
    api: AwsApi, world: World, parts: Wiring, clients: dict[str, Any], action: str
) -> None:
    own, role = with_role(parts, world, api, clients, without=action)
    found = gaps(check(own))
    assert found.keys() >= set(world.services)
    assert all(lacks(action) in found[service] for service in world.services)
    assert all(lacks(action) in message for message in role.refused)


def test_the_time_out_of_sync_survives_silence_and_the_functions_end(world: World, look: Look) -> None:
    (task,) = world.tasks["worker"]
    world.report("worker", task, image_version="1.0")
    look()
    remembers(world, skewed_since=Registry(world.redis).now() - 600)
    world.forget("worker")
    memory = look().memory
    assert memory is not None
    assert 600 <= memory.seconds_out_of_sync() < 700


@pytest.mark.parametrize("garbage", ["", "[]", "no JSON", '{"status": "well"}', '{"since": "now"}', '{"silent": []}'])
def test_a_memory_that_cannot_be_read_is_put_right(world: World, look: Look, garbage: str) -> None:
    world.redis.set("fleet:versions", garbage)
    assert look().verdict.status == IN_SYNC
    assert Store(world.redis).read()[0].status == IN_SYNC


def test_only_one_of_two_concurrent_checks_notifies(world: World, look: Look) -> None:
    look()
    store = Store(world.redis)
    memory, raw = store.read()
    assert store.replace(raw, memory) == store.replace(raw, memory)  # the same again is the same
    world.report("worker", world.tasks["worker"][0], image_version="1.0")
    look()
    assert not store.replace(raw, memory)


BUNDLES = (
    Bundle(
        name="dags",
        version="new",
        since=5.0,
        in_use=(VersionInUse(version="old", runs=1, tasks=1),),
        older=(OlderTask(dag="d", run="r", task="t", map_index=-1, version="old"),),
    ),
)


def test_a_running_task_of_an_older_version_of_a_bundle_is_named_and_is_no_difference(
    look: Look, redis_server: RedisServer
) -> None:
    Registry(redis_server.client).write_bundles(BUNDLES)
    outcome = look()
    assert outcome.verdict.status == IN_SYNC
    (bundle,) = outcome.to_record()["bundles"]
    assert (bundle["version"], bundle["older_tasks"]) == ("new", 1)
    assert list(bundle["older"]) == [{"dag": "d", "run": "r", "task": "t", "map_index": -1, "version": "old"}]


def test_a_report_on_bundles_that_is_missing_or_malformed_is_unknown_and_not_empty(
    look: Look, redis_server: RedisServer
) -> None:
    assert look().to_record()["bundles"] is None
    redis_server.client.set(BUNDLES_KEY, "{}")
    outcome = look()
    assert outcome.to_record()["bundles"] is None
    assert outcome.problems == ("the report on DAG bundles is no list",)


@pytest.fixture
def told(look: Look, inbox: Any, redis_server: RedisServer) -> Callable[[WorkReport], list[dict[str, str]]]:
    """Return a function that checks with this report, and returns the messages that it sends."""
    _, read = inbox

    def tell(report: WorkReport) -> list[dict[str, str]]:
        Registry(redis_server.client).write_work(report)
        assert look().problems == ()
        return list(read())

    return tell


Told = Callable[[WorkReport], list[dict[str, str]]]


def test_people_are_told_which_run_failed_which_dag_is_late_and_which_file_is_broken(told: Told, world: World) -> None:
    (message,) = told(a_report())
    assert message["Subject"] == f"Airflow {world.cluster}: 1 failed run, 1 late DAG, 1 broken DAG file"[:99]
    body = message["Message"]
    assert "* sales, run scheduled__2026-12-01T06:00:00+00:00, first task load\n" in body
    assert "    http://airflow.example.com/dags/sales/runs/scheduled__2026-12-01T06%3A00%3A00%2B00%3A00\n" in body
    assert "* stock: no success in its last 3 intervals\n    http://airflow.example.com/dags/stock\n" in body
    assert "* dags/broken.py: ModuleNotFoundError" in body
    for page in ("AlarmRunFailures", "AlarmDagLate", "AlarmImportErrors"):
        assert f"docs/runbook/{page}.md" in body


def test_each_thing_is_told_once_and_again_when_it_comes_back(told: Told, redis_server: RedisServer) -> None:
    assert len(told(a_report())) == 1
    redis_server.client.delete(QUIET_KEY)  # its time is over
    assert told(a_report()) == []
    assert told(a_report(**NOTHING_WRONG)) == []
    assert len(told(a_report())) == 1


def test_messages_are_limited_and_what_was_held_back_is_told_later(told: Told, redis_server: RedisServer) -> None:
    first = a_report()
    assert len(told(first)) == 1
    second = FailedRun(dag="late-comer", run="manual__1", task="", at=1.8e9)
    both = a_report(failed_runs=(*first.failed_runs, second), run_failures=2)
    assert told(both) == []
    assert 0 < redis_server.client.ttl(QUIET_KEY) <= 300
    redis_server.client.delete(QUIET_KEY)
    (message,) = told(both)
    assert "* late-comer, run manual__1\n" in message["Message"]
    assert "  sales, run scheduled__" in message["Message"]  # it is not new


def test_failed_runs_within_the_limit_are_not_told(told: Told) -> None:
    only_runs = {**NOTHING_WRONG, "run_failures": 0, "failed_runs": a_report().failed_runs}
    assert told(a_report(**only_runs)) == []


def test_a_message_that_sns_refused_is_sent_by_a_later_check(
    look: Look, inbox: Any, clients: dict[str, Any], redis_server: RedisServer
) -> None:
    Registry(redis_server.client).write_work(a_report())
    with Stubber(clients["sns"]) as stubbed:
        stubbed.add_client_error("publish", service_error_code="AuthorizationError")
        outcome = look()
    assert [problem for problem in outcome.problems if "the message failed" in problem] != []
    assert redis_server.client.get(TOLD_KEY) is None
    redis_server.client.delete(QUIET_KEY)  # which is set for a second
    assert look().problems == ()
    assert len(inbox[1]()) == 1


def test_a_report_on_the_work_that_is_missing_or_malformed_is_unknown_and_not_zero(
    look: Look, redis_server: RedisServer
) -> None:
    assert look().work is None
    redis_server.client.set(WORK_KEY, '{"task_failures": 0}')
    outcome = look()
    assert (outcome.work, outcome.verdict.status) == (None, IN_SYNC)
    assert outcome.problems == ("the report on the work has a malformed at of WorkReport",)


def test_the_works_figures_are_published_and_an_unknown_one_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AirflowOnEcs")
    publish_work(a_report(), cluster="c")
    publish_work(a_report(capacity=0), cluster="c")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    figures = {name: value[0] for name, value in first.items() if isinstance(value, list)}
    assert figures == {
        "WorkReports": 1, "TaskFailures": 3, "RunFailures": 1, "RunSuccesses": 40, "LateDags": 1, "ImportErrors": 1,
        "SilentComponents": 1, "SchedulingDelay": 1.25, "ParseTime": 4.5, "ParseAge": 12, "TriggererLoad": 1,
    }  # fmt: skip
    assert "TriggererLoad" not in second
    assert len(figures) == WORK_METRICS
