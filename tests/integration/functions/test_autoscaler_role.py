"""The autoscaler's handler with its role, whole and without each of its actions, on the local AWS API and a real Redis.

One tick needs all of them: messages wait, a worker reports, and the stack has another revision of the workers.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import autoscaler.handler
from autoscaler.settings import MAX_AGE_HOURS, POLL_SECONDS
from fleet.pools import POOLS
from shared import aws
from shared.settings import BROKER_HOST, BROKER_PORT, BROKER_SCHEME, BROKER_SECRET_ARN, BROKER_USER, CLUSTER
from tests.support.aws_api import AwsApi
from tests.support.function_role import ACCOUNT, FunctionRole, lacks, warnings_in
from tests.support.granted_actions import OF_LAMBDA
from tests.support.servers import RedisServer
from tests.support.version_world import FakeWebserver, World

MESSAGES, CONCURRENCY = 8, 4
WANTED = 2  # workers for the messages
# The figures that each input gives.
FIGURES = {
    "queues": {"queued"},
    "fleet": {"active", "consuming", "draining", "drained"},
    "service": {"desired", "running", "pending"},
    "tasks": set(),
}


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a tick without an action does. `unreadable`: the inputs; `grows`, `moves`: what is changed all the same."""

    unreadable: tuple[str, ...] = ()
    grows: bool = False
    moves: bool = False


LOSSES = {
    "ecs:ListServices": Loss(unreadable=("service",)),
    "ecs:DescribeServices": Loss(unreadable=("service",)),
    "ecs:DescribeTasks": Loss(unreadable=("tasks",), grows=True, moves=True),
    "ecs:UpdateService": Loss(),
    "iam:PassRole": Loss(grows=True),
    "secretsmanager:GetSecretValue": Loss(unreadable=("queues", "fleet")),
    "kms:Decrypt": Loss(unreadable=("queues", "fleet")),
}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass(frozen=True, kw_only=True)
class Site:
    """`arns`: of the template's resources. `revision`: the workers' revision that the stack asks for."""

    api: AwsApi
    world: World
    arns: dict[str, str]
    revision: str
    monkeypatch: pytest.MonkeyPatch

    def invoke(self, *, without: str = "") -> tuple[FunctionRole, dict[str, Any]]:
        """Let a new process of the function make one tick, without an action; return its role and its record."""
        role = FunctionRole(self.api, "Autoscaler", stack=self.world.cluster, arns=self.arns, without=without)
        for name, value in role.variables.items():
            self.monkeypatch.setenv(name, value)
        (worker,) = self.world.tasks["worker"]
        self.world.report("worker", worker)  # again: on a busy machine the first report may have expired
        _begin_anew()
        try:
            answer = autoscaler.handler.handler({"ticks": 1}, Context())
        finally:
            autoscaler.handler.wiring().broker.close()
            _begin_anew()
        record: dict[str, Any] = answer["pools"]["worker"]
        return role, record

    @property
    def worker(self) -> dict[str, Any]:
        names = [self.world.services["worker"]]
        service: dict[str, Any]
        (service,) = self.world.ecs.describe_services(cluster=self.world.cluster, services=names)["services"]
        return service


@pytest.fixture
def site(api: AwsApi, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    redis_server.client.flushall()
    webserver, name = FakeWebserver(), f"c{uuid.uuid4().hex}"
    world = World(ecs=api.client("ecs"), redis=redis_server.client, webserver=webserver, cluster=name).build()
    redis_server.client.lpush("default", *["a message"] * MESSAGES)
    own, execution = (f"arn:aws:iam::{ACCOUNT}:role/{name}-{title}" for title in ("Own", "Execution"))
    revision = world.define("worker", image="airflow:3.0", taskRoleArn=own, executionRoleArn=execution)
    key = api.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = api.client("secretsmanager").create_secret(Name=name, SecretString="any", KmsKeyId=key)["ARN"]
    pool = {"name": "worker", "service": f"{name}-WorkerService", "queues": ["default"], "min": 1, "max": WANTED}
    environment = {
        "AWS_ENDPOINT_URL": f"http://localhost:{api.port}",
        "AWS_DEFAULT_REGION": api.region,
        "POWERTOOLS_METRICS_NAMESPACE": "test",
        BROKER_HOST: redis_server.host,
        BROKER_PORT: str(redis_server.port),
        BROKER_SCHEME: "redis",
        BROKER_USER: "default",
        BROKER_SECRET_ARN: secret,
        CLUSTER: name,
        POOLS: json.dumps([{**pool, "concurrency": CONCURRENCY, "task_definition": revision}]),
        MAX_AGE_HOURS: "0",  # the members tell no time of their start
        POLL_SECONDS: "1",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    roles = {"WorkerTaskRole": own, "WorkerExecutionRole": execution}
    arns = {**world.template_arns, **roles, "Key": key, "BrokerAutoscalerSecret": secret}
    yield Site(api=api, world=world, arns=arns, revision=revision, monkeypatch=monkeypatch)
    webserver.close()
    redis_server.client.flushall()


def _begin_anew() -> None:
    aws._session.cache_clear()
    autoscaler.handler.wiring.cache_clear()


def test_a_tick_needs_every_action_that_the_role_allows(site: Site) -> None:
    role, record = site.invoke()
    assert role.refused == []
    assert role.granted - role.used == OF_LAMBDA
    assert (record["unreadable"], record["problems"]) == ([], [])
    assert (site.worker["desiredCount"], site.worker["taskDefinition"]) == (WANTED, site.revision)
    assert role.used == set(LOSSES)


@pytest.mark.parametrize("action", LOSSES)
def test_an_action_that_the_role_lacks_is_told_in_words_and_never_read_as_zero(
    site: Site, caplog: pytest.LogCaptureFixture, action: str
) -> None:
    before, loss = site.worker["taskDefinition"], LOSSES[action]
    role, record = site.invoke(without=action)
    assert role.refused
    assert all(lacks(action) in message for message in role.refused)
    assert lacks(action) in warnings_in(caplog)

    sources = [part.partition(":")[0] for part in record["unreadable"]]
    assert sources == list(loss.unreadable)
    assert len(record["problems"]) == (0 if loss.unreadable else 1)
    assert record.keys() & {figure for source in sources for figure in FIGURES[source]} == set()
    assert site.worker["desiredCount"] == (WANTED if loss.grows else 1)
    assert site.worker["taskDefinition"] == (site.revision if loss.moves else before)
