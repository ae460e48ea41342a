"""Three declared pools, from the template deployed into the local AWS API to autoscaling on a real Redis."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import celery
import pytest

from autoscaler.handler import Wiring, tick_repeatedly
from autoscaler.report import Outcome
from autoscaler.settings import Settings
from autoscaler.tick import tick
from fleet.member import CONSUMING, DRAINED, STARTING, Member
from fleet.registry import Registry
from roles.compose import ROLES
from roles.parts import MAX_TASKS_WAITING
from shared.broker import Broker
from shared.ecs import describe_services
from shared.known_tasks import KnownTasks
from shared.service_names import ServiceNames
from stack.sections.pools import DeclaredPool
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools
from tests.support.servers import RedisServer
from version_check.read import read_tasks

DECLARED = (
    DeclaredPool(name="worker", queues=("default",), min=1, max=10, concurrency=4),
    DeclaredPool(
        name="heavy-sql", queues=("sql", "reports"), min=0, max=3, concurrency=2, spot_percent=100, on_demand_base=0
    ),
    DeclaredPool(name="gpu", queues=("gpu",), min=0, max=2, concurrency=1, spot_percent=25, on_demand_base=1),
)
SLOTS = 10 * 4 + 3 * 2 + 2 * 1


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The stack in the local AWS API; `variables` returns a function's deployed environment."""

    api: AwsApi
    outputs: dict[str, str]

    def variables(self, output: str) -> dict[str, str]:
        function = self.api.client("lambda").get_function_configuration(FunctionName=self.outputs[output])
        variables: dict[str, str] = function["Environment"]["Variables"]
        return variables


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with aws_api() as api:
        stack = deploy_pools(api, DECLARED)
        yield Deployed(api=api, outputs=outputs(stack))


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The autoscaler over the deployed stack, with the deployed settings except for the tests' Redis and timing."""

    ecs: Any
    settings: Settings
    broker: Broker
    redis: Any

    @property
    def wiring(self) -> Wiring:
        cluster = self.settings.cluster
        tasks, names = KnownTasks(self.ecs, cluster=cluster), ServiceNames(self.ecs, cluster=cluster)
        return Wiring(settings=self.settings, broker=self.broker, ecs=self.ecs, tasks=tasks, names=names)

    def tick(self) -> dict[str, Outcome]:
        seen = tick(settings=self.settings, broker=self.broker, ecs=self.ecs)
        return {outcome.pool: outcome for outcome in seen.outcomes}

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the services as ECS describes them, by the pool's name."""
        names = {pool.name: pool.service for pool in self.settings.pools}
        found = describe_services(self.ecs, cluster=self.settings.cluster, services=list(names.values()))
        return {name: dict(found[service]) for name, service in names.items()}  # type: ignore[arg-type]

    def desired(self) -> dict[str, int]:
        return {name: service["desiredCount"] for name, service in self.services().items()}

    def set_desired(self, **desired: int) -> None:
        for pool in self.settings.pools:
            self.ecs.update_service(
                cluster=self.settings.cluster, service=pool.service, desiredCount=desired.get(pool.name, pool.minimum)
            )

    def start(self, pool: str) -> str:
        """Start a task of the pool's service as the agent that plays Fargate does; return its ARN."""
        service = self.services()[pool]
        (task,) = self.ecs.run_task(
            cluster=self.settings.cluster,
            taskDefinition=service["taskDefinition"],
            capacityProviderStrategy=service["capacityProviderStrategy"],
            group=f"service:{service['serviceName']}",
            startedBy=service["deployments"][0]["id"],
        )["tasks"]
        self.ecs.submit_task_state_change(cluster=self.settings.cluster, task=task["taskArn"], status="RUNNING")
        return str(task["taskArn"])

    def report(self, arn: str, pool: str, state: str, *, active: int = 0) -> str:
        """Report a worker; return its member's id."""
        declared = next(declared for declared in DECLARED if declared.name == pool)
        member = Member(
            id=f"{arn.rsplit('/', 1)[-1]}/worker",
            role="worker",
            pool=pool,
            image_version="1",
            dags_hash="1",
            airflow_version="3.3.2",
            state=state,
            slots=declared.concurrency,
            active=active,
            protected=state == CONSUMING,
            started_at=time.time(),
            task_arn=arn,
            container="worker",
            queues=declared.queues,
        )
        Registry(self.redis).report(member)
        return member.id

    def enqueue(self, queue: str, count: int) -> None:
        self.redis.lpush(queue, *["a message"] * count)


@pytest.fixture
def pools(deployed: Deployed, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    variables = deployed.variables("AutoscalerFunctionName")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", variables["POWERTOOLS_METRICS_NAMESPACE"])
    redis_server.client.flushall()
    settings = Settings.from_environment(variables)
    here = replace(settings.broker, host=redis_server.host, port=redis_server.port, tls=False, user="default")
    settings = replace(settings, broker=here, scale_in_after_s=0, boots_per_task=0.0)
    broker, ecs = Broker(here, read_password=lambda: ""), deployed.api.client("ecs")
    names = ServiceNames(ecs, cluster=settings.cluster)
    settings = settings.with_names(names.find(pool.service for pool in settings.pools))
    found = Pools(ecs=ecs, settings=settings, broker=broker, redis=redis_server.client)
    found.set_desired()
    yield found
    for arn in found.ecs.list_tasks(cluster=settings.cluster)["taskArns"]:
        found.ecs.submit_task_state_change(cluster=settings.cluster, task=arn, status="STOPPED")
    broker.close()
    redis_server.client.flushall()


def test_each_pool_follows_its_own_backlog(pools: Pools) -> None:
    pools.enqueue("default", 9)
    pools.enqueue("sql", 2)
    pools.enqueue("reports", 1)
    pools.tick()
    assert pools.desired() == {"worker": 3, "heavy-sql": 2, "gpu": 0}  # 9 / 4 and 3 / 2, rounded up


def test_a_pool_at_zero_launches_a_worker_for_its_first_task_and_drains_it_after(pools: Pools) -> None:
    pools.enqueue("gpu", 1)
    pools.tick()
    assert pools.desired()["gpu"] == 1
    arn = pools.start("gpu")
    member = pools.report(arn, "gpu", STARTING)
    pools.tick()
    assert pools.desired()["gpu"] == 1

    pools.redis.delete("gpu")
    pools.report(arn, "gpu", CONSUMING, active=1)
    assert pools.tick()["gpu"].decision.needed == 1
    pools.report(arn, "gpu", CONSUMING)
    assert pools.tick()["gpu"].decision.drain == (member,)
    assert pools.desired()["gpu"] == 1
    pools.report(arn, "gpu", DRAINED)
    pools.tick()
    assert pools.desired()["gpu"] == 0


def test_a_deleted_service_and_a_broken_queue_do_not_affect_the_third_pool(pools: Pools) -> None:
    gone = replace(pools.settings.pools[1], service="deleted-by-hand")
    first, _, third = pools.settings.pools
    blind = replace(pools, settings=replace(pools.settings, pools=(first, gone, third)))
    pools.redis.set("default", "no list")
    pools.enqueue("gpu", 2)
    outcomes = blind.tick()
    assert [outcomes[name].is_well for name in ("worker", "heavy-sql", "gpu")] == [False, False, True]
    assert pools.desired() == {"worker": 1, "heavy-sql": 0, "gpu": 2}


def test_every_pool_has_metrics_and_only_queues_of_no_worker_are_unconsumed(
    pools: Pools, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pools.report(pools.start("worker"), "worker", CONSUMING)
    with celery.Celery("executor", broker=redis_server.url) as app:
        for queue in ("default", "sql", "typo"):
            app.send_task("execute_workload", queue=queue, ignore_result=True)
    tick_repeatedly(pools.wiring, ticks=1, seconds_left=lambda: 60.0)
    blobs = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line]
    queued = {line["pool"]: line["Queued"] for line in blobs if "Queued" in line}
    assert queued == {"worker": [1], "heavy-sql": [1], "gpu": [0]}
    (fleet,) = [line for line in blobs if "UnconsumedQueues" in line]
    assert fleet["UnconsumedQueues"] == [2]  # no pool has the queue typo, and no worker consumes sql yet


def test_the_alarm_on_unconsumed_queues_uses_the_dimension_of_the_function(pools: Pools, deployed: Deployed) -> None:
    alarms = deployed.api.client("cloudwatch").describe_alarms()["MetricAlarms"]
    (alarm,) = [alarm for alarm in alarms if alarm["MetricName"] == "UnconsumedQueues"]
    assert alarm["Dimensions"] == [{"Name": "cluster", "Value": pools.settings.cluster}]


def test_a_pools_percentage_on_spot_is_as_declared(pools: Pools) -> None:
    strategies = {
        name: [
            (item["capacityProvider"], item.get("base", 0), item["weight"])
            for item in service["capacityProviderStrategy"]
        ]
        for name, service in pools.services().items()
    }
    assert strategies == {
        "worker": [("FARGATE", 1, 1000), ("FARGATE_SPOT", 0, 0)],
        "heavy-sql": [("FARGATE", 0, 0), ("FARGATE_SPOT", 0, 1000)],
        "gpu": [("FARGATE", 1, 750), ("FARGATE_SPOT", 0, 250)],
    }
    pools.set_desired(**{"heavy-sql": 1, "worker": 1})
    arns = [pools.start("worker"), pools.start("heavy-sql")]
    tasks = pools.ecs.describe_tasks(cluster=pools.settings.cluster, tasks=arns)["tasks"]
    assert [task["capacityProviderName"] for task in tasks] == ["FARGATE", "FARGATE_SPOT"]


def test_the_executor_may_queue_many_more_tasks_than_all_pools_together_can_run(
    pools: Pools, deployed: Deployed
) -> None:
    service = deployed.outputs["AirflowServiceName"]
    (described,) = pools.ecs.describe_services(cluster=pools.settings.cluster, services=[service])["services"]
    definition = pools.ecs.describe_task_definition(taskDefinition=described["taskDefinition"])["taskDefinition"]
    (scheduler,) = [c for c in definition["containerDefinitions"] if c["name"] == "scheduler"]
    given = {entry["name"]: entry["value"] for entry in scheduler["environment"]}
    (scheduling,) = [part for part in ROLES["scheduler"].parts if "POOLS" in part.needs]
    assert scheduling.settings(given)["AIRFLOW__CORE__PARALLELISM"] == str(SLOTS + MAX_TASKS_WAITING)


def test_the_version_check_expects_a_report_of_every_pools_workers(pools: Pools, deployed: Deployed) -> None:
    tasks = {name: pools.start(name).rsplit("/", 1)[-1] for name in ("worker", "heavy-sql", "gpu")}
    beginnings = json.loads(deployed.variables("VersionCheckFunctionName")["SERVICES"])
    names = ServiceNames(pools.ecs, cluster=pools.settings.cluster).find(beginnings.values())
    services = {key: names[beginning] for key, beginning in beginnings.items()}
    expected = read_tasks(pools.ecs, cluster=pools.settings.cluster, services=services, reported=())
    assert {f"{task}/worker" for task in tasks.values()} <= {container.member for container in expected.containers}
