"""Brings the deployed template up on this machine, and takes it down again."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from fleet import access
from fleet.member import CONSUMING, WORKER
from fleet.registry import Registry, Roster
from local.alarms.evaluate import MINUTE_S
from local.alarms.watch import Alarms
from local.fargate import image
from local.fargate.agent import Agent
from local.fargate.container_user import ContainerUsers, UnusableUserError, container_users
from local.fargate.memory_limit import memory_limits
from local.fargate.network import Network
from local.fargate.schedules import Schedules
from local.lambdas.invocations import Invocations
from local.lambdas.schedules import Rules
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from local.servers.relay import Relay
from local.servers.tls import Authority
from local.stack import sam
from local.stack.aws_api import aws_api
from local.stack.database import DatabaseKeeper
from local.stack.failure import Failure
from local.stack.pools import declared_pools
from local.stack.preflight import preflight
from local.stack.refusals import Refusals
from local.stack.restored_databases import Original, RestoredDatabases
from local.stack.state import empty_state, held_state
from project import paths
from project.clients import Clients, environment, environment_of_role
from project.environments import Environment
from project.errors import CommandError
from project.running import Running, recorded
from project.waiting import wait_until

CONFIG_ENV = "local"
UP_TIMEOUT_S = 240
# Airflow's processes end within this when everything is stopped at once; the others are killed.
STOP_GRACE_S = 8
EXECUTION_PORT, WEBSERVER_PORT, FLOWER_PORT = 8080, 8081, 5555  # of containers
AIRFLOW_OUTPUT, FLOWER_OUTPUT = "AirflowServiceName", "FlowerServiceName"  # the second is optional
DEFAULT_POOL = "worker"  # the demonstration and the faults watch this one, whatever others are declared

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running local stack, as its users see it. `flower_url`: None where the environment has no Flower."""

    clients: Clients
    outputs: dict[str, str]
    webserver_url: str
    flower_url: str | None
    password: str
    broker: redis.Redis
    registry: Registry
    agent: Agent
    rules: Rules
    schedules: Schedules
    network: Network
    relay: Relay
    database_server: Postgres
    broker_server: Redis
    parameters: dict[str, str]
    refusals: Refusals
    alarms: Alarms

    def worker_service(self) -> dict[str, Any]:
        """Return the default pool's service as ECS describes it."""
        names = {"cluster": self.outputs["ClusterName"], "services": [self.outputs["WorkerServiceName"]]}
        service: dict[str, Any] = self.clients.ecs.describe_services(**names)["services"][0]
        return service

    def workers(self) -> Roster:
        """Read the registry; of its members only the default pool's workers. Raises redis.RedisError."""
        roster = self.registry.members()
        members = tuple(m for m in roster.members if m.role == WORKER and m.pool == DEFAULT_POOL)
        return replace(roster, members=members)

    def secret(self, output: str) -> str:
        """Return the value of a secret that the stack's outputs name."""
        return _secret(self.clients, self.outputs[output])


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What stands in for RDS, ElastiCache and the network in front of them, and clients of the AWS API."""

    authority: Authority
    relay: Relay
    postgres: Postgres
    redis: Redis
    clients: Clients
    refusals: Refusals


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the services are started with."""

    outputs: dict[str, str]
    settings: Mapping[str, str]
    users: ContainerUsers | None
    failure: Failure
    minute_s: float


@contextlib.contextmanager
def up(
    report: Report,
    *,
    warn: Report,
    settings: Mapping[str, str] | None = None,
    source: Path = paths.IMAGE_SOURCE,
    template: str | None = None,
    overrides: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    settle_limit_s: float = sam.SETTLE_LIMIT_S,
    reveal: Sequence[Path] = (),
    minute_s: float = MINUTE_S,
) -> Iterator[Stack]:
    """Bring everything up; call `report` with the name of each step as it begins. End what was started with the block.

    `warn` is called with a line for each call to the AWS API that the policies of the caller's role do not allow.
    `settings` reach every container, as variables (AIRFLOW__...) that an operator adds to the task definitions.
    `source` is what the image is built from. `template` is the text of another template than the committed one, such as
    one with other pools. `overrides` win over the environment's parameters, in this deployment and not in later ones.
    `secrets`: what an operator has made before in Secrets Manager, by name; `overrides` have their ARNs without the
    random end.
    `settle_limit_s`: how long CloudFormation waits for a service to settle in an update of the running stack; 0 for no
    wait. `reveal`: folders besides the image's that every container must reach. `minute_s`: how long a minute of the
    alarms' periods is.
    Raises CommandError when a part does not start, and at any time when a thread of the stack or its AWS API dies, or
    when the tasks of a service cannot start.
    """
    config = preflight(CONFIG_ENV, template=template, overrides=overrides).config
    with Failure() as failure, contextlib.ExitStack() as cleanup, failure.interrupting():
        cleanup.enter_context(held_state())
        empty_state()

        report("building the functions and starting Postgres, Redis and the AWS API")
        building = sam.build(template=_written(template))
        cleanup.callback(building.kill)
        servers = _start_servers(cleanup, config.region, failure, warn, settle_limit_s=settle_limit_s)
        building.wait()

        overrides = _with_secrets(servers.clients, overrides or {}, secrets or {})
        report("deploying the template with sam deploy")
        outputs = _deploy(cleanup, servers, config, source, overrides)

        users = _container_users(config, servers.authority, report, reveal)
        if users is not None:
            cleanup.callback(users.close)
        report("starting the services of ECS")
        start = Start(outputs=outputs, settings=settings or {}, users=users, failure=failure, minute_s=minute_s)
        stack = _start_services(cleanup, servers, config, start)
        cleanup.enter_context(_found_by_other_commands(stack))
        yield stack


def outputs_of(clients: Clients, stack_name: str) -> dict[str, str]:
    """Return the outputs of a deployed stack."""
    stacks = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for o in stacks[0]["Outputs"]}


def _with_secrets(clients: Clients, overrides: Mapping[str, str], secrets: Mapping[str, str]) -> Mapping[str, str]:
    """Make the secrets; return the overrides with their whole ARNs."""
    for name, value in secrets.items():
        arn = str(clients.secretsmanager.create_secret(Name=name, SecretString=value)["ARN"])
        without_end = arn.rpartition("-")[0]
        overrides = {title: given.replace(without_end, arn) for title, given in overrides.items()}
    return overrides


def _written(template: str | None) -> Path:
    """Return the path of the template: the committed one, or a file with this text."""
    if template is None:
        return sam.TEMPLATE
    path = paths.TEMPORARY / sam.TEMPLATE.name
    path.write_text(template, encoding="utf-8")
    return path


def _start_servers(
    cleanup: contextlib.ExitStack, region: str, failure: Failure, warn: Report, *, settle_limit_s: float
) -> Servers:
    """Start Postgres and Redis, put TLS in front of them, and start the AWS API, which tells clients where they are."""
    authority, relay = Authority(paths.TLS), Relay()
    cleanup.callback(relay.close)
    postgres, broker = Postgres(paths.POSTGRES), Redis(paths.REDIS, has_users=True)
    cleanup.callback(postgres.remove)
    postgres.start()
    cleanup.callback(broker.stop)
    broker.start()
    tls = authority.server_context()
    database_at = relay.add("database", backend=lambda: (postgres.host, postgres.port), tls=tls, starttls="postgres")
    broker_at = relay.add("broker", backend=lambda: (broker.host, broker.port), tls=tls)
    api = aws_api(
        database="{}:{}".format(*database_at),
        broker="{}:{}".format(*broker_at),
        broker_administrator=broker.url,
        on_failure=failure.report,
        service_limit_s=settle_limit_s,
    )
    clients = Clients(cleanup.enter_context(api), region)
    refusals = Refusals(clients.endpoint, warn)
    cleanup.callback(refusals.close)
    refusals.start()
    return Servers(
        authority=authority, relay=relay, postgres=postgres, redis=broker, clients=clients, refusals=refusals
    )


def _deploy(
    cleanup: contextlib.ExitStack,
    servers: Servers,
    config: Environment,
    source: Path,
    overrides: Mapping[str, str] | None,
) -> dict[str, str]:
    """Deploy the template with an image of `source`; return the stack's outputs.

    From then on the database demands the credentials that the deployment made and follows RDS; the AWS API gives the
    broker its users.
    """
    clients = servers.clients
    image.build(config.parameters["ImageUri"], _revision(), source=source)
    if sender := config.parameters.get("MailFrom"):
        clients.ses.verify_email_identity(EmailAddress=sender)  # AWS would send a link to the address
    deploying = sam.deploy(config.name, environment(clients.endpoint, config.region), overrides=overrides)
    cleanup.callback(deploying.kill)
    deploying.wait()
    outputs = outputs_of(clients, config.stack_name)
    credentials = json.loads(_secret(clients, outputs["DatabaseSecretArn"]))
    servers.postgres.provision(credentials["username"], credentials["password"], outputs["DatabaseName"])
    (instance,) = clients.rds.describe_db_instances()["DBInstances"]
    original = Original(
        identifier=instance["DBInstanceIdentifier"],
        server=servers.postgres,
        name=outputs["DatabaseName"],
        secret_arn=outputs["DatabaseSecretArn"],
    )
    restored = RestoredDatabases(
        rds=clients.rds,
        secrets=clients.secretsmanager,
        original=original,
        relay=servers.relay,
        tls=servers.authority.server_context(),
        folder=paths.SNAPSHOTS,
    )
    keeper = DatabaseKeeper(rds=clients.rds, server=servers.postgres, restored=restored)
    cleanup.callback(keeper.close)
    return outputs


def _container_users(
    config: Environment, authority: Authority, report: Report, reveal: Sequence[Path]
) -> ContainerUsers | None:
    """Return the containers' users; when they cannot be used, say so and return None."""
    try:
        built = image.load(config.parameters["ImageUri"])
        return container_users(built, authorities=authority.ca_bundle, folder=paths.LOGS, reveal=reveal)
    except UnusableUserError as error:
        report(f"WARNING: containers run as ROOT, unlike on Fargate: another user cannot run them ({error})")
        return None


def _start_services(
    cleanup: contextlib.ExitStack,
    servers: Servers,
    config: Environment,
    start: Start,
) -> Stack:
    """Run the ECS services until they are healthy, then the schedules; return the running stack."""
    clients, outputs = servers.clients, start.outputs
    network = Network(relay=servers.relay, clients=clients)
    cleanup.callback(network.close)
    platform = environment_of_role(clients.endpoint, config.region)
    platform["SSL_CERT_FILE"] = str(servers.authority.ca_bundle)
    rules = Rules(clients=clients, platform=platform, resolve=network.resolve)
    cleanup.callback(rules.close)
    agent = Agent(
        clients=clients,
        cluster=outputs["ClusterName"],
        network=network,
        platform={**platform, **start.settings},
        on_deployment=rules.deployment_changed,
        on_failure=start.failure.report,
        users=start.users,
        memory=memory_limits(),
    )
    cleanup.callback(agent.close, STOP_GRACE_S)
    agent.start()
    broker = servers.redis.client()
    cleanup.callback(broker.close)
    registry = Registry(broker)
    schedules = Schedules(clients=clients)
    cleanup.callback(schedules.close)
    alarms = Alarms(
        clients=clients, folder=paths.FUNCTION_LOGS, container_logs=agent.log_groups, minute_s=start.minute_s
    )
    cleanup.callback(alarms.close)
    _wait_until_healthy(network, outputs, registry)
    rules.start()
    schedules.start()
    alarms.start()
    return Stack(
        clients=clients,
        outputs=outputs,
        webserver_url=_url(network, outputs[AIRFLOW_OUTPUT], WEBSERVER_PORT),
        flower_url=_url(network, outputs[FLOWER_OUTPUT], FLOWER_PORT) if FLOWER_OUTPUT in outputs else None,
        password=_secret(clients, outputs["AdminSecretArn"]),
        broker=broker,
        registry=registry,
        agent=agent,
        rules=rules,
        schedules=schedules,
        network=network,
        relay=servers.relay,
        database_server=servers.postgres,
        broker_server=servers.redis,
        parameters=config.parameters,
        refusals=servers.refusals,
        alarms=alarms,
    )


def _wait_until_healthy(network: Network, outputs: Mapping[str, str], registry: Registry) -> None:
    ports = {AIRFLOW_OUTPUT: WEBSERVER_PORT, FLOWER_OUTPUT: FLOWER_PORT}
    services = {outputs[output]: port for output, port in ports.items() if output in outputs}

    def is_healthy() -> bool:
        is_served = all(network.healthy(service, port) for service, port in services.items())
        return is_served and any(m.state == CONSUMING for m in registry.members().members)

    wait_until(is_healthy, what="start of Airflow", timeout_s=UP_TIMEOUT_S)


@contextlib.contextmanager
def _found_by_other_commands(stack: Stack) -> Iterator[None]:
    """Serve Lambda's Invoke, and write down where the stack is, until the block ends."""
    invocations = Invocations(stack.rules.function)
    with contextlib.closing(invocations):
        running = Running(
            redis_host=stack.broker_server.host,
            redis_port=stack.broker_server.port,
            endpoint=stack.clients.endpoint,
            region=stack.clients.region,
            broker_user=access.PAGE,
            broker_secret_arn=stack.outputs["BrokerPageSecretArn"],
            invocations=invocations.address,
            pools=[pool.name for pool in declared_pools(stack.clients, stack.outputs)],
        )
        with recorded(running):
            yield


def _url(network: Network, service: str, container_port: int) -> str:
    address = network.address(service, container_port)
    if address is None:
        raise CommandError(f"service {service} has no load balancer on its port {container_port}")
    return "http://{}:{}".format(*address)


def _secret(clients: Clients, arn: str) -> str:
    return str(clients.secretsmanager.get_secret_value(SecretId=arn)["SecretString"])


def _revision() -> str:
    """Return what a build would pass as the image's version: the git revision, marked when there are changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return "unknown"
