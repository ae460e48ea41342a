"""The reporter as a process of its own, on a real Redis."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import redis

from agent.broker import connect
from agent.identity import Identity
from agent.parse_logs import log_folder
from agent.reporter import Reporter, ReportingThread
from agent.versions import CodeWatch
from fleet.member import RUNNING
from fleet.registry import Registry
from local.servers.ports import free_port
from project import paths
from tests.support.airflows_python import asked, needs_airflow
from tests.support.fake_ecs import TASK_ARN
from tests.support.servers import RedisServer
from tests.support.waiting import eventually

IMAGE = Path(__file__).parents[3] / "airflow_image"
# Starts the reporter as the entrypoint does, and then is the reporter's parent process.
PARENT = (
    "import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-m', 'agent.reporter', str(os.getpid())]); "
)
PARENT += "time.sleep(60)"
WHERE = """
from airflow.dag_processing.manager import DagFileProcessorManager
answer(DagFileProcessorManager(max_runs=1)._get_log_dir())
"""


@pytest.fixture
def registry(redis_server: RedisServer) -> Registry:
    redis_server.client.flushall()
    return Registry(redis_server.client)


@pytest.fixture
def environment(redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CELERY__BROKER_URL": redis_server.url,
        "IMAGE_VERSION": "1.2.3",
        "FLEET_ROLE": "scheduler",
        "FLEET_TASK_ARN": TASK_ARN,
    }


@pytest.fixture
def parent(registry: Registry, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment) as process:
        assert eventually(lambda: bool(registry.members().members))
        yield process
        process.kill()


@pytest.mark.usefixtures("parent")
def test_a_container_is_reported_as_running(registry: Registry) -> None:
    (member,) = registry.members().members
    assert (member.id, member.role, member.state) == ("0123456789abcdef/scheduler", "scheduler", RUNNING)
    assert (member.image_version, member.pool, member.slots, member.protected) == ("1.2.3", None, 0, False)
    assert abs(member.started_at - registry.now()) < 30


@pytest.mark.usefixtures("parent")
def test_a_dag_that_is_edited_in_a_running_container_is_reported(registry: Registry, tmp_path: Path) -> None:
    before = registry.members().members[0].dags_hash
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text("edited")
    assert eventually(lambda: registry.members().members[0].dags_hash != before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_container_that_ends_is_forgotten_at_once(
    parent: subprocess.Popen[bytes], registry: Registry, number: signal.Signals
) -> None:
    parent.send_signal(number)
    assert eventually(lambda: not registry.members().members, within_s=5)


def test_a_container_that_is_restarted_in_its_task_is_the_same_member_with_a_new_beginning(
    parent: subprocess.Popen[bytes], registry: Registry, environment: dict[str, str]
) -> None:
    (before,) = registry.members().members
    parent.kill()
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment) as again:
        # Also when the first reporter removes the member after the second one has reported it.
        assert eventually(lambda: [m.started_at > before.started_at for m in registry.members().members] == [True])
        (after,) = registry.members().members
        assert after.id == before.id
        again.kill()


def test_a_thread_reports_its_program_until_it_is_told_to_end(
    registry: Registry, environment: dict[str, str], tmp_path: Path
) -> None:
    thread = ReportingThread(environment)
    assert eventually(lambda: bool(registry.members().members))
    (before,) = registry.members().members
    assert (before.id, before.role, before.state) == ("0123456789abcdef/scheduler", "scheduler", RUNNING)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text("edited")
    assert eventually(lambda: registry.members().members[0].dags_hash != before.dags_hash)
    thread.end()
    assert not registry.members().members


@pytest.mark.usefixtures("registry")
def test_the_logs_of_a_dag_processor_are_bounded(environment: dict[str, str], tmp_path: Path) -> None:
    old = tmp_path / "logs" / "dag_processor" / "2020-01-01" / "dags" / "a.py.log"
    old.parent.mkdir(parents=True)
    old.touch()
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment | {"FLEET_ROLE": "dag-processor"}) as process:
        is_removed = eventually(lambda: not old.exists())
        process.kill()
    assert is_removed


@pytest.mark.slow
@needs_airflow
def test_the_dag_processor_writes_its_logs_where_they_are_bounded(tmp_path: Path) -> None:
    written = Path(asked(WHERE, home=tmp_path))
    assert written.parent == log_folder({"AIRFLOW_HOME": str(tmp_path)})
    assert abs(date.fromisoformat(written.name) - datetime.now(UTC).date()) <= timedelta(days=1)


def test_an_absent_broker_is_logged_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    identity = Identity(
        role="scheduler",
        task_arn=TASK_ARN,
        pool=None,
        queues=(),
        slots=0,
        image_version="1",
        airflow_version="3",
    )
    client: redis.Redis = connect(f"redis://127.0.0.1:{free_port()}/0")
    reporter = Reporter(identity, Registry(client), CodeWatch({"AIRFLOW_HOME": str(tmp_path)}))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            reporter.report()
    assert len(caplog.messages) == 1
    assert "the broker is away" in caplog.messages[0]
