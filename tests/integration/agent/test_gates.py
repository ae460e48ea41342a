"""The order of a deployment, with real waiting processes, on a real Redis."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleet.member import CONSUMING, DRAINING, RUNNING, STARTING, WEBSERVER, Member
from fleet.pools import pool_entry
from fleet.registry import Registry
from local.servers.ports import free_port
from project import paths
from roles import health
from roles.gate import GIVEN_UP
from tests.support.celery_worker import running_worker
from tests.support.fake_ecs import TASK_ARN, FakeEcs
from tests.support.servers import RedisServer
from tests.support.waiting import eventually, stays

AIRFLOW_PYTHON = Path(__file__).parents[3] / ".venv-airflow" / "bin" / "python"
WAITS = """
import os, sys
from agent.gates import limit_s, other_workers
from roles.gate import take_turn
take_turn(other_workers, os.environ, limit_s=limit_s(os.environ))
print("its turn", flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def registry(redis_server: RedisServer) -> Registry:
    redis_server.client.flushall()
    return Registry(redis_server.client)


@pytest.fixture
def start(redis_server: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """Start a scheduler of image 2 that waits for its turn; more variables may be given."""
    with ExitStack() as cleanup:

        def started(**more: str) -> subprocess.Popen[str]:
            environment = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": paths.IMAGE_PYTHONPATH,
                "AIRFLOW_HOME": str(tmp_path),
                "AIRFLOW__CELERY__BROKER_URL": redis_server.url,
                "FLEET_ROLE": "scheduler",
                "FLEET_TASK_ARN": TASK_ARN,
                "IMAGE_VERSION": "2",
                **more,
            }
            process = cleanup.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WAITS],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            cleanup.callback(process.kill)
            return process

        yield started


def report(registry: Registry, role: str, *, state: str, image: str = "1", airflow: str = "") -> None:
    registry.report(
        Member(
            id=f"{image}-{airflow}/{role}",
            role=role,
            pool=None,
            image_version=image,
            dags_hash="a",
            airflow_version=airflow,
            state=state,
            slots=0,
            active=0,
            protected=False,
            started_at=0.0,
            task_arn="",
            container=role,
            queues=(),
        )
    )


def scheduler(registry: Registry) -> str | None:
    """Return the state that the waiting scheduler reports."""
    return next((m.state for m in registry.members().members if m.task_arn == TASK_ARN), None)


def is_healthy(home: Path) -> bool:
    """Return whether the health check takes the container for one that waits, as it does for every role alike.

    No server is on Flower's port here.
    """
    try:
        health.check("flower", {"AIRFLOW_HOME": str(home), "PORT": "1"})
    except health.Unhealthy:
        return False
    return True


def test_a_scheduler_starts_when_the_last_older_worker_has_left_its_queues(
    start: Start, registry: Registry, tmp_path: Path
) -> None:
    report(registry, "worker", state=CONSUMING)
    process = start()
    assert eventually(lambda: scheduler(registry) == STARTING)
    assert is_healthy(tmp_path)
    assert stays(lambda: process.poll() is None, for_s=4)
    report(registry, "worker", state=DRAINING)
    said, complaint = process.communicate(timeout=15)
    assert said == "its turn\n"
    assert "gate: waits for 1-/worker (consuming, 0 tasks, image 1)" in complaint
    assert (scheduler(registry), is_healthy(tmp_path)) == (None, False)


def test_a_scheduler_that_is_stopped_while_it_waits_leaves_the_fleet(start: Start, registry: Registry) -> None:
    report(registry, "worker", state=CONSUMING)
    process = start()
    assert eventually(lambda: scheduler(registry) == STARTING)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=15)[0] == ""
    assert (process.returncode, scheduler(registry)) == (128 + signal.SIGTERM, None)


def test_a_scheduler_waits_no_longer_than_its_limit_and_logs_the_consequence(start: Start, registry: Registry) -> None:
    report(registry, "worker", state=CONSUMING)
    said, complaint = start(GATE_MINUTES="0.05").communicate(timeout=30)
    assert said == "its turn\n"
    assert "tasks may start on a worker of other code" in complaint


def test_a_container_whose_workers_are_given_up_fails_if_another_scheduler_runs(
    start: Start, registry: Registry
) -> None:
    report(registry, "worker", state=CONSUMING)
    report(registry, "scheduler", state=RUNNING)
    pools = json.dumps([pool_entry(name="worker", queues=["default"], concurrency=1)])
    process, other = (start(IMAGE_URI=image, POOLS=pools) for image in ("airflow:2", "airflow:3"))
    assert stays(lambda: process.poll() is None, for_s=3)
    registry.note_given_up("worker", "airflow:2")
    _, complaint = process.communicate(timeout=15)
    assert process.returncode == GIVEN_UP
    assert "given up the workers with this image; still there: 1-/worker" in complaint
    assert other.poll() is None


def test_a_scheduler_without_redis_waits_until_its_limit(start: Start) -> None:
    broker = f"redis://127.0.0.1:{free_port()}/0"
    said, complaint = start(GATE_MINUTES="0.05", AIRFLOW__CELERY__BROKER_URL=broker).communicate(timeout=30)
    assert said == "its turn\n"
    assert "the fleet registry, which cannot be read" in complaint


def test_a_worker_newer_than_the_webserver_takes_no_task_until_a_new_one_is_alone(
    redis_server: RedisServer, registry: Registry, tmp_path: Path
) -> None:
    path = str(next(AIRFLOW_PYTHON.parents[1].glob("lib/python3*/site-packages")))
    (own,) = importlib.metadata.distributions(name="apache-airflow", path=[path])
    ecs = FakeEcs()
    report(registry, WEBSERVER, state=RUNNING, airflow="3.0.0")
    try:
        with running_worker(
            client=redis_server.client, url=redis_server.url, ecs=ecs, folder=tmp_path, python=AIRFLOW_PYTHON
        ) as worker:
            worker.send(0.1)
            assert worker.reaches(STARTING, within_s=60), worker.log.read_text()
            report(registry, WEBSERVER, state=RUNNING, airflow=own.version)
            assert stays(lambda: worker.queued == 1 and not ecs.asked, for_s=3)
            assert "is newer than the webserver's (1-3.0.0/webserver has 3.0.0)" in worker.log.read_text()
            registry.forget("1-3.0.0/webserver")
            assert eventually(lambda: worker.finished() == 1)
            assert ecs.protected
    finally:
        ecs.close()
