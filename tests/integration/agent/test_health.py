"""The containers' health checks, against real servers and a real Postgres."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Set
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest

from agent import heartbeat, variables
from agent.addresses import own_address
from agent.runner import running
from project import paths
from roles import health
from tests.support.airflows_python import AIRFLOWS_PYTHON, POOLS, needs_airflow
from tests.support.servers import PostgresServer
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
PATHS = {"/api/v2/monitor/health", "/", "/execution/health", "/healthcheck"}
SCHEDULER = """
from airflow import settings
from airflow.jobs.job import Job, run_job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import import_all_models
from airflow.models.base import Base

import_all_models()
Base.metadata.create_all(settings.engine)
runner = SchedulerJobRunner(job=Job())
run_job(job=runner.job, execute_callable=runner._execute)
"""
HEALTHY = json.dumps({"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}})


@contextmanager
def serving(status: int, body: str, *, known: Set[str] = PATHS) -> Iterator[dict[str, str]]:
    """Serve the same answer on every known path; yield a container's environment for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path in known else 404)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield {"PORT": str(server.server_port), "PUBLIC_PORT": str(server.server_port)}
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("role", "body"), [("webserver", HEALTHY), ("flower", "OK")])
def test_a_server_that_does_its_work_is_healthy(role: str, body: str) -> None:
    with serving(200, body) as given:
        health.check(role, given)


@pytest.mark.parametrize(
    ("role", "status", "body", "why"),
    [
        ("webserver", 200, json.dumps({"metadatabase": {"status": "unhealthy"}}), "reports its database as unhealthy"),
        ("webserver", 200, "<html>the UI's own page</html>", "does not give the database's status"),
        ("webserver", 200, "[]", "does not give the database's status"),
        ("webserver", 500, "", "answers HTTP 500"),
        ("flower", 503, "", "answers HTTP 503"),
        ("flower", 200, "starting", "does not answer OK"),
    ],
)
def test_a_server_that_answers_otherwise_is_unhealthy(role: str, status: int, body: str, why: str) -> None:
    with serving(status, body) as given, pytest.raises(health.Unhealthy, match=why):
        health.check(role, given)


@pytest.mark.parametrize("kind", ["/", "/api/v2/monitor/health", "/execution/health"])
def test_a_webserver_is_healthy_only_if_it_answers_a_request_of_each_kind(kind: str) -> None:
    with (
        serving(200, HEALTHY, known=PATHS - {kind}) as given,
        pytest.raises(health.Unhealthy, match=f"{kind} answers HTTP 404"),
    ):
        health.check("webserver", given)


def test_a_container_without_a_server_is_unhealthy() -> None:
    with serving(200, "") as given:
        pass
    with pytest.raises(health.Unhealthy, match="does not answer"):
        health.check("flower", given)


@pytest.mark.parametrize(
    ("role", "sign", "longest_s", "silence"),
    [
        ("worker", heartbeat.AGENT, health.LONGEST_PAUSE_S, "fleet agent heartbeat missing"),
        ("worker", heartbeat.RUNNER, health.LONGEST_PAUSE_S, "runner heartbeat missing"),
        ("forecaster", heartbeat.FORECASTER, health.LONGEST_TICK_S, "forecaster heartbeat missing"),
    ],
)
def test_a_container_without_a_server_is_healthy_while_its_heartbeat_is_recent(
    role: str, sign: str, longest_s: float, silence: str, tmp_path: Path
) -> None:
    given = {variables.AIRFLOW_HOME: str(tmp_path), variables.SHARED_FOLDER: str(tmp_path)}
    for other in {heartbeat.AGENT, heartbeat.RUNNER} - {sign}:
        heartbeat.beat(given, other)
    with pytest.raises(health.Unhealthy, match=f"{silence} since the container started"):
        health.check(role, given)
    heartbeat.beat(given, sign)
    health.check(role, given)
    long_ago = time.time() - longest_s - 10
    os.utime(tmp_path / sign, (long_ago, long_ago))
    with pytest.raises(health.Unhealthy, match=f"{silence} for 1"):
        health.check(role, given)


def test_a_worker_is_never_unhealthy_while_a_task_runs(tmp_path: Path) -> None:
    given = {variables.AIRFLOW_HOME: str(tmp_path), variables.SHARED_FOLDER: str(tmp_path)}
    note = f"from pathlib import Path; from agent.runner import running; running.note(Path({str(tmp_path)!r}))"
    code = f"{note}; print(flush=True); input()"
    environment = {"PYTHONPATH": paths.IMAGE_PYTHONPATH, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as task:
        assert task.stdout is not None
        task.stdout.readline()
        health.check("worker", given)  # its agent and its runner hang
        task.kill()
    with pytest.raises(health.Unhealthy, match="fleet agent heartbeat missing"):
        health.check("worker", given)


def test_a_worker_of_which_it_is_unknown_whether_tasks_run_is_healthy(tmp_path: Path) -> None:
    (tmp_path / running.FILE).symlink_to(running.FILE)  # cannot be opened
    health.check("worker", {variables.AIRFLOW_HOME: str(tmp_path), variables.SHARED_FOLDER: str(tmp_path)})


@pytest.mark.parametrize("role", ["scheduler", "dag-processor"])
def test_a_container_that_waits_for_its_turn_is_healthy(role: str, tmp_path: Path) -> None:
    given = {variables.AIRFLOW_HOME: str(tmp_path)}
    heartbeat.beat(given, heartbeat.WAITING)
    health.check(role, given)


@pytest.mark.parametrize("ended", [True, False], ids=["has waited", "hangs"])
def test_a_container_that_no_longer_waits_is_checked_as_usual(ended: bool, tmp_path: Path) -> None:
    given = {variables.AIRFLOW_HOME: str(tmp_path), "PORT": "1"}  # no server is on it
    heartbeat.beat(given, heartbeat.WAITING)
    if ended:
        heartbeat.end(given, heartbeat.WAITING)
    else:
        long_ago = time.time() - health.LONGEST_PAUSE_S - 10
        os.utime(tmp_path / heartbeat.WAITING, (long_ago, long_ago))
    with pytest.raises(health.Unhealthy):
        health.check("flower", given)


@pytest.fixture
def jobs(postgres_server: PostgresServer) -> Iterator["psycopg.Connection[tuple[object]]"]:
    """Make Airflow's table of jobs, as far as the check reads it."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE job (job_type text, hostname text, state text, latest_heartbeat timestamptz)")
        yield connection
        connection.execute("DROP TABLE job")


def ask_image(role: str, server: PostgresServer, **more: str) -> tuple[int, str]:
    """Run ECS's health command for the container, in the image's own environment."""
    environment = {
        "PATH": f"{paths.AIRFLOW_ENVIRONMENT}/bin:/usr/bin:/bin",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "DATABASE_HOST": server.host,
        "DATABASE_PORT": str(server.port),
        "DATABASE_NAME": server.database,
        "DATABASE_SSLMODE": "disable",
        "DATABASE_AUTHORITIES": "authorities/rds.pem",
        "DATABASE_USER": server.user,
        "DATABASE_PASSWORD": server.password,
        **more,
    }
    entrypoint = ROOT / "airflow_image" / "entrypoint"
    done = subprocess.run([entrypoint, "health", role], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


@pytest.mark.skipif(not paths.AIRFLOW_ENVIRONMENT.is_dir(), reason="needs make setup-local")
@pytest.mark.parametrize(
    ("role", "job", "longest_s"),
    [
        ("triggerer", "TriggererJob", health.LONGEST_SILENCE_S),
        ("dag-processor", "DagProcessorJob", health.LONGEST_SILENCE_S),
        ("scheduler", "SchedulerJob", health.SCHEDULER_SILENCE_S),
    ],
)
def test_a_job_is_healthy_while_its_own_heartbeat_is_recent(
    role: str, job: str, longest_s: float, postgres_server: PostgresServer, jobs: "psycopg.Connection[tuple[object]]"
) -> None:
    add = "INSERT INTO job VALUES (%s, %s, %s, now() - %s * interval '1 second')"
    jobs.execute(add, (job, "another-host", "running", 0))
    jobs.execute(add, ("AnotherJob", own_address(), "running", 0))
    assert ask_image(role, postgres_server) == (1, f"unhealthy: {job} heartbeat missing since the container started")
    jobs.execute(add, (job, own_address(), "running", longest_s + 5))
    code, said = ask_image(role, postgres_server)
    assert code == 1
    assert said.startswith(f"unhealthy: {job} heartbeat missing for ")
    jobs.execute(add, (job, own_address(), "running", 1))
    assert ask_image(role, postgres_server) == (0, "")


@pytest.mark.skipif(not paths.AIRFLOW_ENVIRONMENT.is_dir(), reason="needs make setup-local")
def test_a_refused_password_is_reported_without_the_password(postgres_server: PostgresServer) -> None:
    code, said = ask_image("triggerer", postgres_server, DATABASE_PASSWORD="not-this-one")
    assert (code, said) == (1, "unhealthy: the database does not answer (OperationalError)")


@pytest.mark.slow
@needs_airflow
def test_a_scheduler_whose_loop_hangs_is_unhealthy(postgres_server: PostgresServer, tmp_path: Path) -> None:
    name = f"hangs_{uuid.uuid4().hex}"
    postgres_server.server.provision(postgres_server.user, postgres_server.password, name)
    url = f"{postgres_server.url.rpartition('/')[0]}/{name}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__EXECUTOR": "agent.executor.FleetExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:1/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": "agent.results:StateBackend+redis://127.0.0.1:1/0",
        "POOLS": POOLS,
    }

    def said() -> str:
        return ask_image("scheduler", postgres_server, DATABASE_NAME=name)[1]

    with subprocess.Popen([AIRFLOWS_PYTHON, "-c", SCHEDULER], env=environment) as scheduler:
        try:
            assert eventually(lambda: not said(), within_s=120)
            with psycopg.connect(url) as holder:
                holder.execute("LOCK TABLE dag IN ACCESS EXCLUSIVE MODE")  # the loop waits for it
                hangs = "unhealthy: SchedulerJob heartbeat missing for "
                assert eventually(lambda: said().startswith(hangs), within_s=90)
                assert scheduler.poll() is None
            assert eventually(lambda: not said(), within_s=60)
        finally:
            scheduler.kill()
