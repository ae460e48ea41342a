"""Every role of the built image, on a read-only root, with real Postgres and Redis beside it."""

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from fleet.member import CONSUMING
from fleet.registry import Registry
from local.scenarios.airflow import Airflow
from local.servers.ports import free_port
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from local.servers.relay import Relay
from local.servers.tls import Authority
from project import clients
from roles.compose import ROLES
from roles.health import CHECKS
from tests.image.conftest import VERSION
from tests.image.containers import Container, Image
from tests.support.fake_ecs import MEMBER_ID, FakeEcs
from tests.support.waiting import eventually

pytestmark = [pytest.mark.image, pytest.mark.timeout(2400)]

log = logging.getLogger(__name__)

PASSWORD = "test-password"
BUCKET = "task-logs"
SLOTS = 16
POOLS = [{"name": "worker", "queues": ["default"], "min": 1, "max": 1, "concurrency": SLOTS}]
# Generous: the machine may be busy with other tests.
START_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 600.0
TASK_S = 15
EXECUTION = "execution"  # the webserver's port for workers
SIDE_ROLES = ("scheduler", "dag-processor", "triggerer", "forecaster", "flower")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The servers, and the containers of every role but the worker's."""

    image: Image
    variables: dict[str, str]
    ports: dict[str, int]
    registry: Registry
    containers: dict[str, Container]

    def url(self, role: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[role]}{path}"

    @contextlib.contextmanager
    def running(self, role: str) -> Iterator[Container]:
        port = {"PORT": str(self.ports[role])} if role in self.ports else {}
        if role == "webserver":
            port = {"PORT": str(self.ports[EXECUTION]), "PUBLIC_PORT": str(self.ports[role])}
        container = self.image.start_role(role, {**self.variables, **port})
        self.containers[role] = container
        try:
            yield container
        finally:
            log.warning("the last lines of %s:\n%s", role, "\n".join(container.log().splitlines()[-15:]))
            container.remove()

    def answers(self, role: str, path: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url(role, path), trust_env=False).status_code == httpx.codes.OK
        return False

    def has_worker(self) -> bool:
        members = self.registry.members().members
        return any(member.role == "worker" and member.state == CONSUMING for member in members)


@contextlib.contextmanager
def servers(authority: Authority) -> Iterator[tuple[dict[str, str], Redis]]:
    """Yield the variables that a task definition gives every container, from running servers, and the broker.

    The database proves who it is by a certificate of `authority`.
    """
    with tempfile.TemporaryDirectory(prefix="image-") as folder, contextlib.ExitStack() as stack:
        redis = Redis(Path(folder, "redis"), password=PASSWORD).start()
        stack.callback(redis.stop)
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
        environment = clients.environment(f"http://{host}:{port}")
        clients.Clients(environment["AWS_ENDPOINT_URL"]).s3.create_bucket(Bucket=BUCKET)
        yield (
            {
                **environment,
                "BIND_HOST": "127.0.0.1",
                "DATABASE_HOST": "localhost",
                "DATABASE_PORT": str(database_port),
                "DATABASE_NAME": "airflow",
                "DATABASE_SSLMODE": "verify-full",
                "DATABASE_AUTHORITIES": "authorities/rds.pem",
                "DATABASE_USER": "airflow",
                "DATABASE_PASSWORD": PASSWORD,
                "BROKER_HOST": redis.host,
                "BROKER_PORT": str(redis.port),
                "BROKER_SCHEME": "redis",
                "BROKER_USER": "default",
                "BROKER_PASSWORD": PASSWORD,
                "BROKER_READER_USER": "default",
                "BROKER_READER_PASSWORD": PASSWORD,
                "FERNET_SECRET": "0123456789abcdefghijklmnopqrstuv",
                "API_SECRET": "api-secret-of-at-least-thirty-two-bytes",
                "JWT_SECRET": "jwt-secret-of-at-least-thirty-two-bytes-better-sixty-four-bytes-",
                "ADMIN_PASSWORD": PASSWORD,
                "LOG_BUCKET": BUCKET,
                "POOLS": json.dumps(POOLS),
                "FORECAST_MINUTES": "15",
                "POOL": "worker",
                "ECS_AGENT_URI": ecs.agent_uri,
                "ECS_CONTAINER_METADATA_URI_V4": ecs.metadata_uri,
            },
            redis,
        )


@pytest.fixture(scope="module")
def cluster(image: Image, authority: Authority) -> Iterator[Cluster]:
    with servers(authority) as (variables, redis), contextlib.ExitStack() as stack:
        ports = {role: free_port() for role in ("webserver", EXECUTION, "scheduler", "flower")}
        made = Cluster(
            image=image,
            variables={**variables, "EXECUTION_API_URL": f"http://127.0.0.1:{ports[EXECUTION]}/execution/"},
            ports=ports,
            registry=Registry(stack.enter_context(redis.client())),
            containers={},
        )
        migrated = image.run_role("migrate", made.variables)
        assert migrated.returncode == 0, migrated.stderr[-3000:]
        for role in ("webserver", *SIDE_ROLES):
            stack.enter_context(made.running(role))
        assert eventually(lambda: made.answers("webserver", "/api/v2/monitor/health"), within_s=START_TIMEOUT_S)
        yield made


@pytest.fixture
def worker(cluster: Cluster, figures: list[str]) -> Iterator[Container]:
    cluster.registry.forget(MEMBER_ID)  # an earlier one, which was ended at once, took no leave
    with cluster.running("worker") as container:
        consuming = eventually(cluster.has_worker, within_s=START_TIMEOUT_S)
        seconds = time.time() - container.started_at
        assert consuming, container.log()[-3000:]
        figures.append(
            f"a worker consumed {seconds:.1f} s after its container's start, {container.processor_s:.1f} s of them "
            f"on a processor; load {os.getloadavg()[0]:.1f}"
        )
        yield container


@pytest.fixture
def airflow(cluster: Cluster) -> Iterator[Airflow]:
    api = Airflow(cluster.url("webserver", ""), user="admin", password=PASSWORD)
    yield api
    api.close()


def trigger(airflow: Airflow, dag: str, **conf: float) -> str:
    """Start a run as soon as the DAG is known; return its id."""
    assert eventually(lambda: airflow.dag_exists(dag), within_s=START_TIMEOUT_S)
    return airflow.trigger(dag, conf)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_its_variables_says_so_and_does_not_start(image: Image, role: str) -> None:
    ended = image.run_role(role, {})
    assert ended.returncode == 78
    assert ended.stderr.startswith(f"entrypoint {role}: missing or empty variables: ")


def test_airflow_finds_all_its_parts_healthy(cluster: Cluster) -> None:
    def health() -> dict[str, str]:
        answer = httpx.get(cluster.url("webserver", "/api/v2/monitor/health"), trust_env=False).json()
        return {part: state["status"] for part, state in answer.items()}

    parts = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
    assert eventually(lambda: health() == dict.fromkeys(parts, "healthy"), within_s=START_TIMEOUT_S), health()


@pytest.mark.parametrize(("role", "path"), [("scheduler", "/health"), ("flower", "/healthcheck")])
def test_a_role_with_a_port_answers_its_health_check(cluster: Cluster, role: str, path: str) -> None:
    assert eventually(lambda: cluster.answers(role, path), within_s=START_TIMEOUT_S)


@pytest.mark.usefixtures("worker")
def test_every_containers_own_health_check_finds_it_well(cluster: Cluster) -> None:
    def said() -> dict[str, str]:
        return {role: cluster.containers[role].health() for role in CHECKS}

    assert eventually(lambda: not any(said().values()), within_s=START_TIMEOUT_S), said()


@pytest.mark.usefixtures("worker")
def test_every_role_reports_the_images_version_to_the_fleet(cluster: Cluster) -> None:
    def versions() -> dict[str, str]:
        return {member.role: member.image_version for member in cluster.registry.members().members}

    everyone = dict.fromkeys((name for name, role in ROLES.items() if role.in_fleet), VERSION)
    assert eventually(lambda: versions() == everyone, within_s=START_TIMEOUT_S), versions()


@pytest.mark.usefixtures("worker")
def test_a_task_of_the_images_own_dag_runs_and_its_log_is_kept(cluster: Cluster, airflow: Airflow) -> None:
    run = trigger(airflow, "hello")
    assert eventually(lambda: airflow.run_state("hello", run) == "success", within_s=RUN_TIMEOUT_S)
    (instance,) = airflow.task_instances("hello", run)
    # A task has succeeded before its log is uploaded.
    assert eventually(lambda: "hello from a worker" in airflow.log(instance), within_s=RUN_TIMEOUT_S)


def test_a_task_outlasts_the_signal_that_stops_its_container(airflow: Airflow, worker: Container) -> None:
    run = trigger(airflow, "burst", tasks=1, min_seconds=TASK_S, max_seconds=TASK_S)
    running = {"task_id": "work", "state": "running"}
    assert eventually(lambda: airflow.count("burst", run, **running) == 1, within_s=RUN_TIMEOUT_S)
    assert worker.stop() == 0
    assert eventually(lambda: airflow.run_state("burst", run) == "success", within_s=RUN_TIMEOUT_S)
    assert [instance["try_number"] for instance in airflow.task_instances("burst", run)] == [1, 1]


@pytest.mark.parametrize("role", ["webserver", *SIDE_ROLES])
def test_a_container_that_is_told_to_stop_stops(cluster: Cluster, figures: list[str], role: str) -> None:
    told_at = time.monotonic()
    code = cluster.containers[role].stop()
    figures.append(f"{role} ended {time.monotonic() - told_at:.1f} s after the signal, with exit code {code}")
    assert code in (0, 143)  # 128 + SIGTERM
