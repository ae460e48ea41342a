"""The real handlers when AWS's answers are cut off, corrupted, empty, late or refusals.

A proxy between the functions and the local AWS API spoils the answers to one operation. Each invocation makes all its
ticks, says what was wrong, and the next one is well again.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autoscaler.handler
import retirement.handler
import sleeper.handler
import version_check.handler
from autoscaler.settings import MAX_AGE_HOURS, POLL_SECONDS
from fleet.pools import POOLS
from fleet.work import DEFAULT_LIMITS, LIMITS
from local.servers.troubled_api import REFUSALS, TROUBLES, WRONG, TroubledApi
from shared import aws
from shared.settings import BROKER_HOST, BROKER_PORT, BROKER_SCHEME, BROKER_SECRET_ARN, BROKER_USER, CLUSTER
from shared.tags import ASLEEP_TAG, RETIRE_TAG
from sleeper.settings import AIRFLOW_SERVICE, ALARM_PREFIX, DATABASE, FLOWER_SERVICE, PATIENCE_MINUTES
from tests.support.aws_api import REGION, AwsApi
from tests.support.servers import RedisServer
from tests.support.sleeping_world import Environment, clients_of, environment
from tests.support.version_world import FakeWebserver
from tests.support.waiting import eventually
from version_check.settings import SERVICES, SITE_URL, TOPIC_ARN, WEBSERVER_URL

# Every kind is tried in both protocols (DescribeServices: JSON, DescribeDBInstances: XML), and these elsewhere.
SOME = ("other types", "an empty object", "denied")
# Of all these, `make test` tries two kinds: no data in a whole answer, and a refusal.
QUICK = ("an empty object",)
ALL_OF = ("DescribeServices", "DescribeDBInstances", "UpdateService", "Publish")
AUTOSCALER_READS = ("DescribeServices", "DescribeTasks", "GetSecretValue")
VERSION_READS = ("DescribeServices", "DescribeTasks", "GetSecretValue", "ListTasks")
SLEEPER_READS = (
    *("DescribeAlarms", "DescribeClusters", "DescribeDBInstances", "DescribeScalableTargets", "DescribeServices"),
    *("DescribeTasks", "GetSecretValue"),
)
RETIREMENT_CALLS = (
    *(("worker", operation) for operation in ("DescribeServices", "DescribeTasks", "TagResource")),
    *(("flower", operation) for operation in ("ListTasks", "UpdateService")),
)
MALFORMED_OR_REFUSED = ("MalformedAnswer: ", "Error: ", "Exception: ")


def tried(*operations: str) -> list[Any]:
    kinds = [(operation, wrong) for operation in operations for wrong in (WRONG if operation in ALL_OF else SOME)]
    return [pytest.param(operation, wrong, marks=marks_of(wrong)) for operation, wrong in kinds]


def tried_on_services() -> list[Any]:
    kinds = [(key, each) for key, operation in RETIREMENT_CALLS for each in tried(operation)]
    return [pytest.param(key, *each.values, marks=each.marks) for key, each in kinds]


def marks_of(wrong: str) -> list[pytest.MarkDecorator]:
    return [] if wrong in QUICK else [pytest.mark.slow]


EACH_KIND = [pytest.param(wrong, marks=marks_of(wrong)) for wrong in WRONG]


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(scope="module")
def proxy(api: AwsApi) -> Iterator[TroubledApi]:
    troubled = TroubledApi(api.port)
    yield troubled
    troubled.close()


@pytest.fixture(scope="module")
def env(api: AwsApi, redis_server: RedisServer) -> Iterator[Environment]:
    webserver, clients = FakeWebserver(), clients_of(api, redis_server)
    yield environment(clients, redis_server, webserver, name=f"c{uuid.uuid4().hex}")
    webserver.close()
    clients.broker.close()


@pytest.fixture(scope="module")
def arns(api: AwsApi) -> tuple[str, str]:
    """Return the secret with the broker's password, and a topic."""
    secret = api.client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString="any")["ARN"]
    return secret, api.client("sns").create_topic(Name=uuid.uuid4().hex)["TopicArn"]


@pytest.fixture
def fleet(
    env: Environment,
    arns: tuple[str, str],
    proxy: TroubledApi,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Environment]:
    """Let the handlers begin anew, in the environment that the template would give them."""
    services = env.fleet.services
    pool = {"name": "worker", "service": services["worker"], "queues": ["default"], "min": 1, "max": 4}
    given = {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
        BROKER_HOST: redis_server.host,
        BROKER_PORT: str(redis_server.port),
        BROKER_SCHEME: "redis",
        BROKER_USER: "default",
        BROKER_SECRET_ARN: arns[0],
        CLUSTER: env.name,
        POOLS: json.dumps([{**pool, "concurrency": 4}]),
        MAX_AGE_HOURS: "0",  # the members tell no time of their start
        POLL_SECONDS: "1",
        SERVICES: json.dumps(services),
        WEBSERVER_URL: env.fleet.webserver.url,
        TOPIC_ARN: arns[1],
        SITE_URL: "https://airflow.example.com",
        LIMITS: DEFAULT_LIMITS,
        AIRFLOW_SERVICE: services["airflow"],
        FLOWER_SERVICE: services["flower"],
        DATABASE: env.name,
        ALARM_PREFIX: f"{env.name}-Alarm",
        PATIENCE_MINUTES: "10",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # Only one kind of answer may depend on the machine's speed.
    monkeypatch.setattr(aws, "READ_TIMEOUT_S", 1.0 if "slow" in request.node.name else 30.0)
    redis_server.client.flushall()
    env.active[0] = 0
    for key in services:
        for task in env.fleet.tasks[key]:
            env.fleet.report(key, task)
    _begin_anew()
    yield env
    _begin_anew()


def _begin_anew() -> None:
    aws._session.cache_clear()
    for function in (autoscaler.handler, version_check.handler, sleeper.handler, retirement.handler):
        function.wiring.cache_clear()


def autoscale(*, ticks: int = 1) -> dict[str, Any]:
    answer = autoscaler.handler.handler({"ticks": ticks}, Context())
    assert answer["ticks"] == ticks
    record: dict[str, Any] = answer["pools"]["worker"]
    return record


def check_versions() -> dict[str, Any]:
    return version_check.handler.handler({"ticks": 1}, Context())


def tend_sleep(**event: Any) -> dict[str, Any]:
    return sleeper.handler.handler({"ticks": 1, **event}, Context())


def _is_reason(text: str) -> bool:
    return any(kind in text for kind in MALFORMED_OR_REFUSED) and "\n" not in text


@pytest.mark.parametrize(("operation", "wrong"), tried(*AUTOSCALER_READS))
def test_the_autoscaler_keeps_the_size_and_says_why(
    fleet: Environment, proxy: TroubledApi, operation: str, wrong: str
) -> None:
    with proxy.spoiling(operation, WRONG[wrong]):
        record = autoscale()
    assert operation in proxy.calls
    assert any(map(_is_reason, record["unreadable"])), record
    assert fleet.sizes()["worker"] == 1
    well = autoscale()
    assert (well["unreadable"], well["problems"]) == ([], [])


def test_the_ticks_of_a_minute_go_on_after_a_bad_answer(fleet: Environment, proxy: TroubledApi) -> None:
    proxy.calls.clear()
    with proxy.spoiling("DescribeServices", TROUBLES["corrupted"]):
        autoscale(ticks=3)
    assert proxy.calls.count("DescribeServices") == 3


@pytest.mark.parametrize("wrong", EACH_KIND)
def test_a_size_that_was_set_is_never_said_not_to_be(
    fleet: Environment, proxy: TroubledApi, redis_server: RedisServer, wrong: str
) -> None:
    redis_server.client.lpush("default", *["a message"] * 8)
    with proxy.spoiling("UpdateService", WRONG[wrong]):
        record = autoscale()
    (problem,) = record["problems"]
    assert _is_reason(problem)
    was_set = fleet.sizes()["worker"] == record["desired"] > 1
    assert was_set is (wrong in TROUBLES)
    if was_set:
        assert problem.startswith("not confirmed: ")
    elif wrong != "throttled":  # which is tried twice, and only the second answer is known
        assert problem.startswith("not carried out: ")
    fleet.clients.ecs.update_service(cluster=fleet.name, service=fleet.fleet.services["worker"], desiredCount=1)


@pytest.mark.parametrize(("operation", "wrong"), tried(*VERSION_READS))
def test_the_version_check_never_raises_and_is_never_in_sync_without_an_answer(
    fleet: Environment, proxy: TroubledApi, operation: str, wrong: str
) -> None:
    with proxy.spoiling(operation, WRONG[wrong]):
        record = check_versions()
    assert operation in proxy.calls
    assert record["status"] == "unknown"
    assert any(_is_reason(gap["why"]) for gap in record["unknown"]), record
    assert check_versions()["status"] == "in_sync"


@pytest.mark.parametrize("wrong", EACH_KIND)
def test_a_notification_that_is_not_confirmed_is_sent_again(
    fleet: Environment, proxy: TroubledApi, redis_server: RedisServer, wrong: str
) -> None:
    worker = fleet.fleet.tasks["worker"][0]
    fleet.fleet.report("worker", worker, dags_hash="other")
    with proxy.spoiling("Publish", WRONG[wrong]):
        record = check_versions()
    (problem,) = record["problems"]
    assert record["status"] == "out_of_sync"
    assert _is_reason(problem)
    assert problem.startswith("the notification failed" if wrong in REFUSALS and wrong != "throttled" else "the not")
    proxy.calls.clear()
    assert not check_versions()["problems"]
    assert "Publish" in proxy.calls


@pytest.mark.parametrize(("operation", "wrong"), tried(*SLEEPER_READS))
def test_the_sleeper_changes_nothing_and_says_why(
    fleet: Environment, proxy: TroubledApi, operation: str, wrong: str
) -> None:
    fleet.work(1)  # the sleeper then asks ECS about the worker's task
    with proxy.spoiling(operation, WRONG[wrong]):
        record = tend_sleep()
    assert operation in proxy.calls
    assert record["steps"] == []
    if operation not in ("DescribeTasks", "GetSecretValue"):  # about work: matters only when it is to sleep
        assert record["phase"] == "unknown"
        assert _is_reason(record["says"]), record
    assert tend_sleep()["phase"] == "awake"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(wrong, marks=marks_of(wrong))
        for wrong in ("an empty object", "cut off", "dropped", "denied", "expired credentials")
    ],
)
def test_the_sleeper_says_which_step_is_not_confirmed_and_goes_on(
    fleet: Environment, proxy: TroubledApi, wrong: str
) -> None:
    fleet.want("asleep", now=time.time())
    try:
        with proxy.spoiling("TagResource", WRONG[wrong]):
            record = tend_sleep()
        if wrong != "an empty object":  # which is its answer
            assert record["phase"] == "unknown"
            is_known = wrong in ("denied", "expired credentials")
            assert record["says"].startswith(f"mark asleep: not {'carried out' if is_known else 'confirmed'}: ")
            assert _is_reason(record["says"])
        assert tend_sleep()["phase"] == "falling asleep"
    finally:
        ecs, arn = fleet.clients.ecs, fleet.described("worker")["serviceArn"]
        ecs.untag_resource(resourceArn=arn, tagKeys=[ASLEEP_TAG])
        fleet.want("awake")
        tend_sleep()


@pytest.fixture
def notice(fleet: Environment) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return what makes a notice that names a task of a service; afterwards no service is marked or rolls out."""

    def made(key: str) -> dict[str, Any]:
        task = fleet.fleet.arns[fleet.fleet.tasks[key][0]]
        (described,) = fleet.clients.ecs.describe_tasks(cluster=fleet.name, tasks=[task])["tasks"]
        # The notice's time has whole seconds, and the task must be older.
        assert eventually(lambda: int(time.time()) > described["createdAt"].timestamp())
        # By the same clock: that of gmtime() alone may lie some milliseconds behind.
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
        return {"source": "aws.health", "time": at, "detail": {"affectedEntities": [{"entityValue": task}]}}

    yield made
    for key in ("worker", "flower"):
        fleet.clients.ecs.untag_resource(resourceArn=fleet.described(key)["serviceArn"], tagKeys=[RETIRE_TAG])
    if len(fleet.described("flower")["deployments"]) > 1:
        fleet.fleet.start("flower")
        fleet.fleet.stop("flower", fleet.fleet.tasks["flower"][0])


def carried_out(event: dict[str, Any]) -> dict[str, Any] | str:
    """Return what the function did, or why Lambda has to invoke it again."""
    try:
        return retirement.handler.handler(event, Context())
    except retirement.handler.NotCarriedOut as error:
        return str(error)


@pytest.mark.parametrize(("key", "operation", "wrong"), tried_on_services())
def test_a_notice_of_retirement_is_carried_out_when_lambda_tries_again(
    fleet: Environment,
    proxy: TroubledApi,
    notice: Callable[[str], dict[str, Any]],
    key: str,
    operation: str,
    wrong: str,
) -> None:
    event = notice(key)
    proxy.calls.clear()
    with proxy.spoiling(operation, WRONG[wrong]):
        outcome = carried_out(event)
    assert operation in proxy.calls
    if operation == "TagResource" and wrong in ("an empty object", "other types"):  # its answer is an empty object
        assert outcome == {"recorded": [key], "deployed": []}
    else:
        assert isinstance(outcome, str)
        assert _is_reason(outcome), outcome
    again = carried_out(event)
    was_deployed = operation == "UpdateService" and wrong in TROUBLES
    assert again == {"recorded": [key], "deployed": ["flower"] if key == "flower" and not was_deployed else []}
    assert len(fleet.described(key)["deployments"]) == (2 if key == "flower" else 1)
