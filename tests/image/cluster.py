"""A whole stack of the image's containers, each with what the template gives it, beside real servers."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import httpx
from moto.server import ThreadedMotoServer

from agent import variables
from fleet.member import CONSUMING
from fleet.registry import Registry
from local.servers.ports import free_port
from local.servers.postgres import Postgres
from local.servers.relay import Relay
from local.servers.tls import Authority
from project import clients
from tests.image.containers import Container, Image
from tests.support import rendered
from tests.support.broker_users import BrokerWithUsers, broker_with_users, password_of
from tests.support.fake_ecs import FakeEcs

log = logging.getLogger(__name__)

PASSWORD = "test-password"
FERNET_SECRET = "fernet-secret-of-exactly-32-char"
BUCKET = "task-logs"
SLOTS = 16
POOLS = [{"name": "worker", "queues": ["default"], "min": 1, "max": 1, "concurrency": SLOTS}]
# Generous: the machine may be busy with other tests.
START_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 600.0
EXECUTION = "execution"  # the webserver's port for workers
SIDE_ROLES = ("scheduler", "dag-processor", "triggerer", "forecaster", "flower")
WORKER_TASK = "WorkerTaskDefinition"
WORKER_MEMORY_MIB = "2048"
DAGS = Path(__file__).parent / "dags"
IMAGE_DAGS = "/opt/airflow-on-ecs/dags"
# The containers have defaults for these, or nothing here that these lead to.
LEFT_OUT = {
    "AIRFLOW_METRICS",
    "AIRFLOW_SETTINGS",
    "BASE_URL",
    "BROKER_PATIENCE_MINUTES",
    "CLOUDWATCH_METRICS_URL",
    "CONNECTIONS_PREFIX",
    "DAG_BUCKET",
    "DAG_BUNDLES",
    "DATABASE_SECRET_ARN",
    "EVENT_BUS",
    "TASK_LOG_COPY",
    "GATE_MINUTES",
    "IMAGE_URI",
    "LINEAGE_NAMESPACE",
    "LINEAGE_RECEIVER",
    "MACHINE_AUDIENCE",
    "MACHINE_ROLES",
    "MAIL_FROM",
    "MAX_TASK_WAIT_MINUTES",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET",
    "OIDC_GROUPS_CLAIM",
    "OIDC_ISSUER",
    "OIDC_SCOPES",
    "OTLP_RECEIVER",
    "ROLE_MAPPING",
    "ROLLOUT_PATIENCE_MINUTES",
    "STACK_NAME",
    "STS_URL",
    "TASK_SETTINGS",
    "TRACED_RUNS_PERCENT",
    "USER_PASSWORDS",
    "WORK_LIMITS",
    "XCOM_BUCKET",
    "XCOM_PREFIX",
    "XCOM_THRESHOLD_KIB",
    "XRAY_TRACES_URL",
}
LOG_SERVER_PORT = "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"
TRIGGERER_LOG_PORT = "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"


def given_by_template(role: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return those of `values` that the template gives to the container of `role`. KeyError if one lacks a value."""
    container = rendered.containers()[role]
    names = [*rendered.secrets(container), *rendered.environment(container)]
    return {name: values[name] for name in names if name not in LEFT_OUT}


@dataclass(frozen=True, kw_only=True)
class WorkerTask:
    """The containers of a worker's ECS task by role, in the order in which they started."""

    containers: Mapping[str, Container]

    @property
    def worker(self) -> Container:
        """Celery's container."""
        return self.containers["worker"]

    @property
    def runner(self) -> Container:
        """The container in which tasks run."""
        return self.containers[variables.RUNNER]

    def stop(self) -> dict[str, int]:
        """Stop them as ECS does, each after those that depend on it; return their exit codes."""
        return {role: self.containers[role].stop() for role in reversed(tuple(self.containers))}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The servers, and the containers of every role.

    `variables`: what the template may give; `injected`: what Fargate adds to every container, and what replaces AWS.
    """

    image: Image
    variables: Mapping[str, str]
    injected: Mapping[str, str]
    ports: Mapping[str, int]
    broker: BrokerWithUsers
    registry: Registry
    containers: dict[str, Container]

    def url(self, role: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[role]}{path}"

    def given(self, role: str) -> dict[str, str]:
        """Return the variables of a role's container."""
        values = dict(self.variables)
        if role == "webserver":
            values |= {"PORT": str(self.ports[EXECUTION]), "PUBLIC_PORT": str(self.ports[role])}
        elif role in self.ports:
            values["PORT"] = str(self.ports[role])
        for kind in ("BROKER", "BROKER_READER"):
            user = rendered.environment(rendered.containers()[role]).get(f"{kind}_USER")
            if user is not None:
                values |= {f"{kind}_USER": user, f"{kind}_PASSWORD": password_of(user)}
        return {**given_by_template(role, {**values, **self.injected}), **self.injected}

    @contextlib.contextmanager
    def running(
        self, role: str, given: Mapping[str, str], *, volumes: tuple[str, ...] = (), memory_mib: int | None = None
    ) -> Iterator[Container]:
        """Run a container of a role."""
        dags = tuple(f"{path}:{IMAGE_DAGS}/{path.name}:ro" for path in DAGS.glob("*.py"))
        container = self.image.start_role(role, given, volumes=(*dags, *volumes), memory_mib=memory_mib)
        self.containers[role] = container
        try:
            yield container
        finally:
            log.warning("the last lines of %s:\n%s", role, "\n".join(container.log().splitlines()[-15:]))
            container.remove()

    @contextlib.contextmanager
    def worker_task(self) -> Iterator[WorkerTask]:
        """Run the containers of a worker's ECS task, in the template's order, with its volumes and memory limits."""
        definition = rendered.resources("AWS::ECS::TaskDefinition")[WORKER_TASK]
        made = {container["Name"]: container for container in rendered.containers_of(definition)}
        after = {name: [d["ContainerName"] for d in made[name].get("DependsOn", [])] for name in made}
        task_id = secrets.token_hex(4)
        with contextlib.ExitStack() as stack:
            stack.callback(self.image.remove_volumes, [f"{task_id}-{v['Name']}" for v in definition["Volumes"]])
            running = {}
            for role in TopologicalSorter(after).static_order():
                given = self.given(role)
                if "MEMORY_MIB" in given:
                    given["MEMORY_MIB"] = str(_memory_mib(made[role]))
                mounts = tuple(
                    f"{task_id}-{mount['SourceVolume']}:{mount['ContainerPath']}" for mount in made[role]["MountPoints"]
                )
                running[role] = stack.enter_context(
                    self.running(role, given, volumes=mounts, memory_mib=_memory_mib(made[role]))
                )
            yield WorkerTask(containers=running)

    def answers(self, role: str, path: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url(role, path), trust_env=False).status_code == httpx.codes.OK
        return False

    def has_worker(self) -> bool:
        members = self.registry.members().members
        return any(member.role == "worker" and member.state == CONSUMING for member in members)


def _memory_mib(container: rendered.Resource) -> int:
    mapping, _, name = container["Memory"]["Fn::FindInMap"]
    return int(rendered.template()["Mappings"][mapping][WORKER_MEMORY_MIB][name])


@contextlib.contextmanager
def start_cluster(image: Image, authority: Authority) -> Iterator[Cluster]:
    """Run the servers and a container of every role but the worker's and the runner's."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(_servers(image, authority))
        migrated = image.run_role("migrate", made.given("migrate"))
        assert migrated.returncode == 0, migrated.stderr[-3000:]
        for role in ("webserver", *SIDE_ROLES):
            stack.enter_context(made.running(role, made.given(role)))
        yield made


@contextlib.contextmanager
def _servers(image: Image, authority: Authority) -> Iterator[Cluster]:
    """Run the servers. The database proves who it is by a certificate of `authority`."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder, contextlib.ExitStack() as stack:
        broker = stack.enter_context(broker_with_users())
        postgres = Postgres(Path(folder, "postgres"))
        stack.callback(postgres.remove)
        postgres.start()
        postgres.provision("airflow", PASSWORD, "airflow")
        relay = Relay()
        stack.callback(relay.close)
        _, database_port = relay.add(
            "database",
            backend=lambda: (postgres.host, postgres.port),
            tls=authority.server_context(),
            starttls="postgres",
        )
        ecs = FakeEcs()
        stack.callback(ecs.close)
        aws = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        aws.start()
        stack.callback(aws.stop)
        host, port = aws.get_host_and_port()
        replaced = clients.environment(f"http://{host}:{port}")
        clients.Clients(replaced["AWS_ENDPOINT_URL"]).s3.create_bucket(Bucket=BUCKET)
        ports = {role: free_port() for role in ("webserver", EXECUTION, "flower", "log server")}
        yield Cluster(
            image=image,
            ports=ports,
            broker=broker,
            registry=Registry(broker.administrator),
            containers={},
            injected={
                **replaced,
                "BIND_HOST": "127.0.0.1",
                LOG_SERVER_PORT: str(ports["log server"]),
                TRIGGERER_LOG_PORT: str(free_port()),
                "ECS_AGENT_URI": ecs.agent_uri,
                "ECS_CONTAINER_METADATA_URI_V4": ecs.metadata_uri,
            },
            variables={
                "DATABASE_HOST": "localhost",
                "DATABASE_PORT": str(database_port),
                "DATABASE_NAME": "airflow",
                "DATABASE_SSLMODE": "verify-full",
                "DATABASE_AUTHORITIES": "authorities/rds.pem",
                "DATABASE_USER": "airflow",
                "DATABASE_PASSWORD": PASSWORD,
                "BROKER_HOST": broker.server.host,
                "BROKER_PORT": str(broker.server.port),
                "BROKER_SCHEME": "redis",
                "FERNET_SECRET": FERNET_SECRET,
                "API_SECRET": "api-secret-of-at-least-thirty-two-bytes",
                "JWT_SECRET": "jwt-secret-of-at-least-thirty-two-bytes-better-sixty-four-bytes-",
                "ADMIN_PASSWORD": PASSWORD,
                "CPU_UNITS": "1024",
                "MEMORY_MIB": "1024",
                "EXECUTION_API_URL": f"http://127.0.0.1:{ports[EXECUTION]}/execution/",
                "LOG_BUCKET": BUCKET,
                "POOLS": json.dumps(POOLS),
                "FORECAST_MINUTES": "15",
                "WORKER_SIZES": '{"worker":{"cpu":1024,"memory":2048,"disk":21,"base":1,"spot":0}}',
                "WORKER_PROCESSOR": "X86_64",
                "CLEAN_KEEP_DAYS": "90",
                "HAS_TLS": "false",
                "SESSION_MINUTES": "60",
                "POOL": "worker",
                "SHARED_FOLDER": rendered.environment(rendered.containers()["runner"])["SHARED_FOLDER"],
            },
        )
