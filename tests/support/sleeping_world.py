"""An environment for the sleeper, in which the tests do the work of Fargate and the workers' agents."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler.settings import Settings as AutoscalerSettings
from autoscaler.tick import tick as autoscaler_tick
from fleet.member import CONSUMING, DRAINED, DRAINING
from fleet.pools import Pool
from fleet.registry import ORDER_DRAIN, Registry
from shared.broker import Broker
from shared.settings import BrokerSettings
from sleeper.handler import record_desired_state, tick
from sleeper.read import Clients
from sleeper.settings import Settings
from tests.support.aws_api import AwsApi
from tests.support.function_role import FunctionRole
from tests.support.servers import RedisServer
from tests.support.version_world import FakeWebserver, World

ALARMS = ("AlarmSchedulerSilent", "AlarmVersionsSkewed")
NOW = 1_000_000.0


@dataclass(frozen=True, kw_only=True)
class Environment:
    """`fleet` has the services; all else is reached by `clients`. `active`: tasks that each worker runs.

    `own`: the function's clients, which have its role in some tests.
    """

    fleet: World
    clients: Clients
    own: Clients
    settings: Settings
    active: list[int] = field(default_factory=lambda: [0])

    @property
    def name(self) -> str:
        return self.fleet.cluster

    def want(self, wanted: str, *, now: float = NOW) -> None:
        record_desired_state(wanted, settings=self.settings, clients=self.own, now=now)

    def tick(self, *, now: float = NOW) -> dict[str, Any]:
        """Let the sleeper make one tick, then carry out what it asked of others."""
        record = tick(settings=self.settings, clients=self.own, now=now)
        self.do()
        return record

    def settle(self, *, now: float = NOW, ticks: int = 30) -> list[str]:
        """Make ticks until nothing is left to wait for; return the steps taken, in order."""
        taken: list[str] = []
        for _ in range(ticks):
            record = self.tick(now=now)
            taken += record["steps"]
            if record["is_settled"]:
                return taken
        raise AssertionError(record)

    def do(self) -> None:
        """Let the autoscaler tick, the agents obey it, and Fargate start and stop ECS tasks."""
        for _ in range(2):
            self._report()
            self._autoscale()
        for key, service in self.fleet.services.items():
            desired, tasks = self.described(key)["desiredCount"], self.fleet.tasks.setdefault(key, [])
            for _ in range(desired - len(tasks)):
                self.fleet.start(key)
            for task in tasks[desired:]:
                self.fleet.forget(key)
                self.fleet.stop(key, task)
            assert self.described(key)["runningCount"] == desired, service

    def described(self, key: str) -> dict[str, Any]:
        service = self.fleet.services[key]
        answer = self.clients.ecs.describe_services(cluster=self.name, services=[service], include=["TAGS"])
        return dict(answer["services"][0])

    def sizes(self) -> dict[str, int]:
        return {key: self.described(key)["desiredCount"] for key in self.fleet.services}

    def database(self) -> str:
        (found,) = self.clients.rds.describe_db_instances(DBInstanceIdentifier=self.name)["DBInstances"]
        return str(found["DBInstanceStatus"])

    def loud_alarms(self) -> set[str]:
        found = self.clients.alarms.describe_alarms(AlarmNamePrefix=self.name)["MetricAlarms"]
        return {alarm["AlarmName"].rpartition("-")[2] for alarm in found if alarm["ActionsEnabled"]}

    def is_scaling(self) -> bool:
        resource = f"service/{self.name}/{self.settings.airflow}"
        (target,) = self.clients.scaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[resource])[
            "ScalableTargets"
        ]
        return not all((target.get("SuspendedState") or {"": False}).values())

    def work(self, tasks: int) -> str:
        """Let every worker run so many tasks; return the id of one worker's ECS task."""
        self.active[0] = tasks
        self._report()
        return self.fleet.tasks["worker"][0]

    def _report(self) -> None:
        """Let workers obey their orders at once and report: a silent worker counts as gone."""
        for task in self.fleet.tasks.get("worker", []):
            drains = Registry(self.fleet.redis).order(f"{task}/worker") == ORDER_DRAIN
            idle = DRAINING if self.active[0] else DRAINED
            state = idle if drains else CONSUMING
            self.fleet.report("worker", task, state=state, active=self.active[0])

    def _autoscale(self) -> None:
        settings = AutoscalerSettings(
            broker=self.settings.broker,
            cluster=self.name,
            pools=self.settings.pools,
            poll_seconds=15,
            scale_in_after_s=60,
        )
        autoscaler_tick(settings=settings, broker=self.clients.broker, ecs=self.clients.ecs)


def clients_of(api: AwsApi, redis_server: RedisServer) -> Clients:
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, user="default", secret_arn="-")
    return Clients(
        ecs=api.client("ecs"),
        rds=api.client("rds"),
        alarms=api.client("cloudwatch"),
        scaling=api.client("application-autoscaling"),
        broker=Broker(where, read_password=lambda: ""),
    )


def environment(clients: Clients, redis_server: RedisServer, webserver: FakeWebserver, *, name: str) -> Environment:
    """Return an environment in which everything runs: one ECS task a service, one worker without a task."""
    fleet = World(ecs=clients.ecs, redis=redis_server.client, webserver=webserver, cluster=name).build()
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, user="default", secret_arn="-")
    clients.rds.create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.t4g.small", Engine="postgres", AllocatedStorage=20
    )
    clients.scaling.register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=f"service/{name}/{fleet.services['airflow']}",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=1,
        MaxCapacity=2,
        RoleARN="arn:aws:iam::123456789012:role/scaling",
    )
    for alarm in ALARMS:
        clients.alarms.put_metric_alarm(
            AlarmName=f"{name}-{alarm}",
            MetricName="m",
            Namespace="n",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
    settings = Settings(
        broker=where,
        cluster=name,
        airflow=fleet.services["airflow"],
        flower=fleet.services["flower"],
        pools=(
            Pool(
                name="worker",
                service=fleet.services["worker"],
                queues=("default",),
                minimum=1,
                maximum=4,
                concurrency=4,
            ),
        ),
        database=name,
        alarm_prefix=f"{name}-Alarm",
        patience_s=600,
    )
    return Environment(fleet=fleet, clients=clients, own=clients, settings=settings)


def role_of(env: Environment, api: AwsApi, *, without: str = "") -> FunctionRole:
    """Return the sleeper's role over this environment, without one action."""
    (database,) = env.clients.rds.describe_db_instances(DBInstanceIdentifier=env.name)["DBInstances"]
    arns = {**env.fleet.template_arns, "Database": database["DBInstanceArn"]}
    return FunctionRole(api, "Sleeper", stack=env.name, arns=arns, without=without)


def with_role(env: Environment, role: FunctionRole) -> Environment:
    """Return the environment with a sleeper that has this role."""
    own = Clients(
        ecs=role.client("ecs"),
        rds=role.client("rds"),
        alarms=role.client("cloudwatch"),
        scaling=role.client("application-autoscaling"),
        broker=env.clients.broker,
    )
    return replace(env, own=own)
