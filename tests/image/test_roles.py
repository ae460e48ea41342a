"""Every role of the built image, on a read-only root, with real Postgres and Redis beside it."""

import time

import httpx
import pytest

from local.stack.rest_api import Airflow
from roles.compose import ROLES
from roles.health import CHECKS
from tests.image.cluster import RUN_TIMEOUT_S, SIDE_ROLES, START_TIMEOUT_S, Cluster, WorkerTask
from tests.image.conftest import VERSION
from tests.image.containers import Image
from tests.support.waiting import eventually

pytestmark = [pytest.mark.image, pytest.mark.timeout(2400)]

TASK_S = 15


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


def test_flower_answers_its_health_check(cluster: Cluster) -> None:
    assert eventually(lambda: cluster.answers("flower", "/healthcheck"), within_s=START_TIMEOUT_S)


@pytest.mark.usefixtures("worker_task")
def test_every_containers_own_health_check_finds_it_well(cluster: Cluster) -> None:
    def said() -> dict[str, str]:
        return {role: cluster.containers[role].health() for role in CHECKS}

    assert eventually(lambda: not any(said().values()), within_s=START_TIMEOUT_S), said()


@pytest.mark.usefixtures("worker_task")
def test_every_role_reports_the_images_version_to_the_fleet(cluster: Cluster) -> None:
    def versions() -> dict[str, str]:
        return {member.role: member.image_version for member in cluster.registry.members().members}

    everyone = dict.fromkeys((name for name, role in ROLES.items() if role.in_fleet), VERSION)
    assert eventually(lambda: versions() == everyone, within_s=START_TIMEOUT_S), versions()


@pytest.mark.usefixtures("worker_task")
def test_a_task_of_the_images_own_dag_runs_and_its_log_is_kept(cluster: Cluster, airflow: Airflow) -> None:
    run = trigger(airflow, "hello")
    assert eventually(lambda: airflow.run_state("hello", run) == "success", within_s=RUN_TIMEOUT_S)
    (instance,) = airflow.task_instances("hello", run)
    # A task has succeeded before its log is uploaded.
    assert eventually(lambda: "hello from a worker" in airflow.log(instance), within_s=RUN_TIMEOUT_S)


def test_the_database_is_cleaned(cluster: Cluster) -> None:
    ended = cluster.image.run_role("clean", cluster.given("clean"))
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_a_task_outlasts_the_signal_that_stops_its_container(airflow: Airflow, worker_task: WorkerTask) -> None:
    run = trigger(airflow, "burst", tasks=1, min_seconds=TASK_S, max_seconds=TASK_S)
    running = {"task_id": "work", "state": "running"}
    assert eventually(lambda: airflow.count("burst", run, **running) == 1, within_s=RUN_TIMEOUT_S)
    assert worker_task.stop() == {"worker": 0, "runner": 0}
    assert eventually(lambda: airflow.run_state("burst", run) == "success", within_s=RUN_TIMEOUT_S)
    assert [instance["try_number"] for instance in airflow.task_instances("burst", run)] == [1, 1]


@pytest.mark.parametrize("role", ["webserver", *SIDE_ROLES])
def test_a_container_that_is_told_to_stop_stops(cluster: Cluster, figures: list[str], role: str) -> None:
    told_at = time.monotonic()
    code = cluster.containers[role].stop()
    figures.append(f"{role} ended {time.monotonic() - told_at:.1f} s after the signal, with exit code {code}")
    assert code in (0, 143)  # 128 + SIGTERM
