"""The fleet agent inside a real Celery worker, on a real Redis."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import celery
import pytest

from agent.runner.protocol import READY
from agent.versions import CodeHash, code_folders
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN
from local.servers.redis import Redis
from project import paths
from tests.support.celery_worker import SLOTS, Worker, running_worker
from tests.support.fake_ecs import FakeEcs
from tests.support.servers import RedisServer
from tests.support.waiting import eventually, stays

OBEYED_WITHIN_S = 2.0
TASK = "1d4b5f7c-0000-4000-8000-000000000000"
PYTHON = Path(__file__).parents[3] / ".venv-airflow" / "bin" / "python"


@pytest.fixture
def ecs() -> Iterator[FakeEcs]:
    fake = FakeEcs()
    yield fake
    fake.close()


@pytest.fixture
def worker(redis_server: RedisServer, ecs: FakeEcs, tmp_path: Path) -> Iterator[Worker]:
    redis_server.client.flushall()
    with running_worker(client=redis_server.client, url=redis_server.url, ecs=ecs, folder=tmp_path) as running:
        yield running


@pytest.fixture
def consuming(worker: Worker) -> Worker:
    assert worker.reaches(CONSUMING), worker.log.read_text()
    return worker


@pytest.fixture
def drained(consuming: Worker) -> Worker:
    consuming.order(ORDER_DRAIN)
    assert consuming.reaches(DRAINED), consuming.log.read_text()
    return consuming


def test_a_worker_reports_its_identity(consuming: Worker) -> None:
    member = consuming.member
    assert member is not None
    assert (member.role, member.pool, member.queues, member.slots) == ("worker", "worker", ("default",), SLOTS)
    assert (member.image_version, member.protected, member.active) == ("1.2.3", True, 0)


def test_a_worker_consumes_when_its_runner_is_ready(redis_server: RedisServer, ecs: FakeEcs, tmp_path: Path) -> None:
    """It connects to the runner before that, and sets itself up meanwhile."""
    redis_server.client.flushall()
    with running_worker(
        client=redis_server.client,
        url=redis_server.url,
        ecs=ecs,
        folder=tmp_path,
        settings={"SHARED_FOLDER": str(tmp_path)},
    ) as worker:
        assert worker.reaches(STARTING)
        assert stays(lambda: (member := worker.member) is not None and member.state == STARTING, for_s=3)
        (tmp_path / READY).touch()
        assert worker.reaches(CONSUMING, within_s=2)


def test_a_task_gets_the_hash_of_the_code_present_at_its_start(consuming: Worker, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    hashes = []
    for number in range(2):
        (tmp_path / "dags" / "a.py").write_text(str(number))
        hashes.append(CodeHash(code_folders({"AIRFLOW_HOME": str(tmp_path)})).read())
        consuming.send(0.1, count=SLOTS)
        assert eventually(lambda expected=SLOTS * (number + 1): consuming.finished() == expected)  # type: ignore[misc]
    assert [consuming.log.read_text().count(f"code {each}") for each in hashes] == [SLOTS, SLOTS]


def test_celerys_own_tool_asks_a_worker_which_code_it_runs(
    consuming: Worker, redis_server: RedisServer, tmp_path: Path
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CELERY__BROKER_URL": redis_server.url,
    }
    argv = [
        str(PYTHON),
        "-m",
        "celery",
        "-A",
        "agent.celery_app",
        "inspect",
        "fleet_version",
        "--json",
        "--timeout",
        "5",
    ]
    said = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    (answer,) = json.loads(said.splitlines()[-1]).values()
    member = consuming.member
    assert member is not None
    assert answer == {
        "member": member.id,
        "image_version": "1.2.3",
        "dags_hash": member.dags_hash,
        "airflow_version": member.airflow_version,
    }


@pytest.mark.parametrize("mode", ["error", "blocked"])
def test_messages_stay_queued_until_the_worker_is_protected(ecs: FakeEcs, worker: Worker, mode: str) -> None:
    ecs.mode = mode
    worker.send(0.1)
    assert worker.reaches(STARTING)
    assert stays(lambda: worker.queued == 1, for_s=3)
    ecs.mode = "ok"
    assert eventually(lambda: worker.finished() == 1)
    assert ecs.protected


def test_a_running_task_ends_before_protection_does(ecs: FakeEcs, consuming: Worker) -> None:
    consuming.send(6)
    assert eventually(lambda: consuming.in_flight == 1)
    consuming.order(ORDER_DRAIN)
    assert consuming.reaches(DRAINING)
    assert stays(lambda: ecs.protected, for_s=3)
    assert consuming.reaches(DRAINED)
    assert (consuming.finished(), consuming.in_flight, ecs.protected) == (1, 0, False)


def test_a_worker_ordered_to_drain_takes_no_more_messages(consuming: Worker) -> None:
    ordered_at = consuming.order(ORDER_DRAIN)
    assert consuming.reaches(DRAINING, within_s=OBEYED_WITHIN_S)
    time.sleep(max(0.0, ordered_at + OBEYED_WITHIN_S - time.monotonic()))
    consuming.send(0.1, count=3)
    assert stays(lambda: consuming.queued == 3, for_s=3)


def test_a_drained_worker_is_recalled_with_protection_first(ecs: FakeEcs, drained: Worker) -> None:
    drained.send(0.1)
    ecs.mode = "blocked"
    drained.order(ORDER_CONSUME)
    assert drained.reaches(DRAINING, within_s=OBEYED_WITHIN_S)
    assert stays(lambda: drained.queued == 1, for_s=2)
    ecs.mode = "ok"
    assert eventually(lambda: drained.finished() == 1)
    assert ecs.protected


def test_a_worker_that_is_recalled_while_draining_never_lost_its_protection(ecs: FakeEcs, consuming: Worker) -> None:
    consuming.send(4)
    assert eventually(lambda: consuming.in_flight == 1)
    consuming.order(ORDER_DRAIN)
    assert consuming.reaches(DRAINING)
    consuming.order(ORDER_CONSUME)
    assert consuming.reaches(CONSUMING, within_s=OBEYED_WITHIN_S)
    assert [state["ProtectionEnabled"] for state in ecs.asked] == [True]


def test_a_worker_that_is_stopped_ends_its_task_and_leaves_the_fleet_protected(ecs: FakeEcs, consuming: Worker) -> None:
    consuming.send(2)
    assert eventually(lambda: consuming.in_flight == 1)
    consuming.process.send_signal(signal.SIGTERM)
    assert consuming.process.wait(timeout=15) == 0
    assert (consuming.finished(), consuming.in_flight, consuming.member, ecs.protected) == (1, 0, None, True)


def test_a_worker_obeys_the_last_order_through_a_restart_of_the_broker(ecs: FakeEcs, tmp_path: Path) -> None:
    broker = Redis(tmp_path / "redis").start()
    url = f"redis://{broker.host}:{broker.port}/0"
    try:
        with broker.client() as client, running_worker(client=client, url=url, ecs=ecs, folder=tmp_path) as worker:
            assert worker.reaches(CONSUMING)
            worker.order(ORDER_DRAIN)
            assert worker.reaches(DRAINED)
            broker.stop()
            broker.start()
            assert worker.reaches(DRAINED, within_s=30)
            worker.send(0.1)
            assert stays(lambda: worker.queued == 1, for_s=3)
            worker.order(ORDER_CONSUME)
            assert eventually(lambda: worker.finished() == 1)
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("shutdown", {}),
        pytest.param("pool_shrink", {"n": 1}, marks=pytest.mark.slow),
        pytest.param("cancel_consumer", {"queue": "default"}, marks=pytest.mark.slow),
        pytest.param("add_consumer", {"queue": "other"}, marks=pytest.mark.slow),
        pytest.param("terminate", {"signal": "KILL", "task_id": TASK}, marks=pytest.mark.slow),
        ("revoke", {"task_id": TASK, "terminate": True, "signal": "KILL"}),
    ],
)
def test_no_one_can_end_a_worker_or_its_task_by_celerys_remote_control(
    consuming: Worker, redis_server: RedisServer, command: str, arguments: dict[str, object]
) -> None:
    with celery.Celery("mallory", broker=redis_server.url) as app:
        app.send_task("nap", args=(3,), queue="default", ignore_result=True, task_id=TASK)
        assert eventually(lambda: consuming.in_flight == 1)
        (answer,) = app.control.broadcast(command, arguments=arguments, reply=True, timeout=2)
        assert "error" in next(iter(answer.values()))
        assert eventually(lambda: consuming.finished() == 1)
        assert consuming.process.poll() is None
        consuming.send(0.1)
        assert eventually(lambda: consuming.finished() == 2)
