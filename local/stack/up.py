"""Brings the deployed template up on this machine, piece by piece, and takes it down again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from fleet.registry import CONSUMING, WORKER, Registry, Roster
from local.fargate import image
from local.fargate.agent import Agent
from local.fargate.network import Network
from local.lambdas.invocations import Invocations
from local.lambdas.schedules import Rules
from local.servers.ports import free_port
from local.servers.postgres import Postgres
from local.servers.process import spawn, stop
from local.servers.redis import Redis
from local.servers.relay import Relay
from local.servers.tls import Authority
from local.stack import sam
from local.stack.database import DatabaseKeeper
from local.stack.preflight import preflight
from project import paths
from project.clients import Clients, environment
from project.errors import CommandError
from project.running import Running, announced
from project.waiting import wait_until

CONFIG_ENV = "local"
UP_TIMEOUT_S = 240
API_TIMEOUT_S = 30
# Airflow's processes end within this when everything is stopped at once; whatever does not is killed.
STOP_GRACE_S = 8
WEBSERVER_PORT, FLOWER_PORT = 8080, 5555
DEFAULT_POOL = "worker"  # the one that demonstration and faults watch, whichever others are declared

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running local stack, as its users see it."""

    clients: Clients
    outputs: dict[str, str]
    webserver_url: str
    flower_url: str
    password: str
    broker: redis.Redis
    registry: Registry
    agent: Agent
    rules: Rules
    network: Network
    database_server: Postgres
    broker_server: Redis
    parameters: dict[str, str]

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


@contextlib.contextmanager
def up(report: Report, *, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Bring everything up; `report` hears each step as it begins. Whatever was started ends with the block.

    `settings` reach every container, as variables (AIRFLOW__...) that an operator adds to the task definitions.
    """
    config = preflight(CONFIG_ENV)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(_only_one())
        postgres, broker = Postgres(paths.POSTGRES), Redis(paths.REDIS)
        postgres.remove()  # left by a start that was killed; it knows where it put its files
        for folder in (paths.LOGS, paths.TASKS, paths.IMAGES, paths.FUNCTIONS, paths.REDIS, paths.TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

        report("building the functions and starting Postgres, Redis and the AWS API")
        authority, relay = Authority(paths.TLS), Relay()
        cleanup.callback(relay.close)
        building = sam.build()
        cleanup.callback(building.kill)
        cleanup.callback(postgres.remove)
        postgres.start()
        cleanup.callback(broker.stop)
        broker.start()
        tls = authority.server_context()
        database_at = relay.add(
            "database", listen_port=None, backend=lambda: ("127.0.0.1", postgres.port), tls=tls, starttls="postgres"
        )
        broker_at = relay.add("broker", listen_port=None, backend=lambda: ("127.0.0.1", broker.port), tls=tls)
        endpoint = cleanup.enter_context(_aws_api(database=database_at, broker=broker_at))
        building.wait()

        report("deploying the template with sam deploy")
        clients = Clients(endpoint, config.region)
        aws = environment(endpoint, config.region)
        image.build(config.parameters["ImageUri"], _revision())
        deploying = sam.deploy(config.name, aws)
        cleanup.callback(deploying.kill)
        deploying.wait()
        outputs = outputs_of(clients, config.stack_name)

        credentials = json.loads(_secret(clients, outputs["DatabaseSecretArn"]))
        postgres.provision(credentials["username"], credentials["password"], outputs["DatabaseName"])
        broker.set_password(_secret(clients, outputs["BrokerSecretArn"]))
        keeper = DatabaseKeeper(rds=clients.rds, server=postgres)
        cleanup.callback(keeper.close)

        report("starting the services: airflow, worker, flower")
        platform = {**aws, "SSL_CERT_FILE": str(authority.ca_bundle)}
        network = Network(relay=relay, clients=clients)
        cleanup.callback(network.close)
        rules = Rules(clients=clients, platform=platform, resolve=network.resolve)
        cleanup.callback(rules.close)
        agent = Agent(
            clients=clients,
            cluster=outputs["ClusterName"],
            network=network,
            platform={**platform, **(settings or {})},
            on_deployment=rules.deployment_changed,
        )
        cleanup.callback(agent.close, STOP_GRACE_S)
        agent.start()
        client = broker.client()
        cleanup.callback(client.close)
        stack = Stack(
            clients=clients,
            outputs=outputs,
            webserver_url="",
            flower_url="",
            password=_secret(clients, outputs["AdminSecretArn"]),
            broker=client,
            registry=Registry(client),
            agent=agent,
            rules=rules,
            network=network,
            database_server=postgres,
            broker_server=broker,
            parameters=config.parameters,
        )
        _wait_until_healthy(stack, network)
        rules.start()
        invocations = Invocations(rules.function)
        cleanup.callback(invocations.close)
        urls = {"webserver_url": _url(network, outputs["AirflowServiceName"], WEBSERVER_PORT)}
        urls["flower_url"] = _url(network, outputs["FlowerServiceName"], FLOWER_PORT)
        where = Running(
            redis_host=broker.host,
            redis_port=broker.port,
            endpoint=endpoint,
            region=config.region,
            broker_secret_arn=outputs["BrokerSecretArn"],
            invocations=invocations.address,
        )
        cleanup.enter_context(announced(where))
        yield Stack(**{**stack.__dict__, **urls})


def outputs_of(clients: Clients, stack_name: str) -> dict[str, str]:
    """Return the outputs of a deployed stack."""
    stacks = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for o in stacks[0]["Outputs"]}


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Hold the checkout's lock: two stacks would share logs and task folders."""
    paths.STATE.mkdir(exist_ok=True)
    with paths.LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("a local stack of this checkout is running already; end it with `make down`") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def _aws_api(*, database: tuple[str, int], broker: tuple[str, int]) -> Iterator[str]:
    """Run the embedded AWS API in a process of its own; yield its address."""
    port = free_port()
    log_path = paths.LOGS / "aws-api.log"
    argv = [sys.executable, "-m", "local.aws", "--port", str(port)]
    argv += ["--database", "{}:{}".format(*database), "--broker", "{}:{}".format(*broker)]
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONUNBUFFERED": "1"}
    env |= {"HOME": str(paths.STATE), "TMPDIR": str(paths.TEMPORARY)}
    process = spawn(argv, env=env, cwd=paths.ROOT, log_path=log_path)

    def serving() -> bool:
        if process.poll() is not None:
            raise CommandError(f"the AWS API did not start; see {log_path}")
        return "ready" in log_path.read_text(errors="replace")

    try:
        wait_until(serving, what="start of the AWS API", timeout_s=API_TIMEOUT_S)
        # Not 127.0.0.1: SAM CLI would take its first part for a bucket's name.
        yield f"http://localhost:{port}"
    finally:
        stop(process)


def _wait_until_healthy(stack: Stack, network: Network) -> None:
    services = {stack.outputs["AirflowServiceName"]: WEBSERVER_PORT, stack.outputs["FlowerServiceName"]: FLOWER_PORT}

    def healthy() -> bool:
        if stack.agent.given_up:
            raise CommandError(stack.agent.given_up)
        served = all(network.healthy(service, port) for service, port in services.items())
        return served and any(m.state == CONSUMING for m in stack.registry.members().members)

    wait_until(healthy, what="start of Airflow", timeout_s=UP_TIMEOUT_S)


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
