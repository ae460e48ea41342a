"""A broker that is full, or a replica after a role change: it hands out messages and refuses every write."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis

from fleet.member import CONSUMING, DRAINED, DRAINING
from fleet.registry import ORDER_DRAIN
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow
from tests.support.celery_worker import SLOTS, Worker, running_worker
from tests.support.fake_ecs import FakeEcs
from tests.support.servers import RedisServer
from tests.support.waiting import eventually, stays

pytestmark = needs_airflow  # the image's kombu
Refusal = Callable[[redis.Redis], AbstractContextManager[None]]


@contextlib.contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Let Redis have less memory than it uses."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@contextlib.contextmanager
def refusing(command: str, client: redis.Redis) -> Iterator[None]:
    """Refuse one command, as a role change between two commands does."""
    client.acl_setuser("default", enabled=True, commands=[f"-{command}"])
    try:
        yield
    finally:
        client.acl_setuser("default", enabled=True, commands=[f"+{command}"])


@pytest.fixture
def ecs() -> Iterator[FakeEcs]:
    fake = FakeEcs()
    yield fake
    fake.close()


@pytest.fixture
def start(
    redis_server: RedisServer, ecs: FakeEcs, tmp_path: Path
) -> Iterator[Callable[[], AbstractContextManager[Worker]]]:
    redis_server.client.flushall()
    yield lambda: running_worker(
        client=redis_server.client,
        url=redis_server.url,
        ecs=ecs,
        folder=tmp_path,
        python=AIRFLOWS_PYTHON,
        settings={"GATE_MINUTES": "0"},  # there is no webserver to wait for
    )
    redis_server.client.config_set("maxmemory", 0)


@pytest.fixture
def consuming(start: Callable[[], AbstractContextManager[Worker]]) -> Iterator[Worker]:
    with start() as worker:
        assert worker.reaches(CONSUMING), worker.log.read_text()
        yield worker


@pytest.fixture
def waiting(consuming: Worker) -> Worker:
    """Return a worker with a task in each slot and as many messages that wait."""
    consuming.send(2, count=2 * SLOTS)
    assert eventually(lambda: consuming.in_flight == SLOTS)
    return consuming


@pytest.mark.parametrize(
    "refusal",
    [full, pytest.param(functools.partial(refusing, "hset"), marks=pytest.mark.slow)],
    ids=["full", "refusing"],
)
def test_no_message_is_lost_and_no_worker_ends_while_the_broker_refuses_writes(
    refusal: Refusal, waiting: Worker
) -> None:
    with refusal(waiting.client):
        # A worker takes one message at a time then, which it runs.
        assert eventually(lambda: waiting.finished() == SLOTS + 1)
    assert eventually(lambda: waiting.finished() == 2 * SLOTS), waiting.log.read_text()
    assert eventually(lambda: waiting.in_flight == 0)
    assert waiting.process.poll() is None


def test_what_was_taken_is_recorded_as_soon_as_the_broker_accepts_it(waiting: Worker) -> None:
    waiting.send(30)
    with full(waiting.client):
        assert eventually(lambda: waiting.finished() == 2 * SLOTS)
        assert eventually(lambda: waiting.queued == 0)
        assert waiting.in_flight == 0
    assert eventually(lambda: waiting.in_flight == 1)


@pytest.mark.slow
def test_a_message_that_a_full_broker_does_not_take_back_is_queued_later(consuming: Worker) -> None:
    consuming.send(2, task="return_once")
    assert eventually(lambda: consuming.in_flight == 1)
    with full(consuming.client):
        assert eventually(lambda: "returned" in consuming.log.read_text())
        assert stays(lambda: consuming.queued == 0, for_s=1)
    assert eventually(lambda: consuming.finished() == 1)
    assert eventually(lambda: consuming.in_flight == 0)


@pytest.mark.slow
def test_a_worker_that_owes_a_write_is_not_drained(consuming: Worker) -> None:
    consuming.send(1, count=SLOTS)
    assert eventually(lambda: consuming.in_flight == SLOTS)
    consuming.order(ORDER_DRAIN)
    with refusing("hdel", consuming.client):
        assert eventually(lambda: consuming.finished() == SLOTS)
        assert stays(lambda: consuming.member is not None and consuming.member.state == DRAINING, for_s=4)
    assert eventually(lambda: consuming.in_flight == 0)
    assert consuming.reaches(DRAINED)


@pytest.mark.slow
def test_a_worker_that_starts_while_the_broker_is_full_consumes_when_it_is_not(
    start: Callable[[], AbstractContextManager[Worker]], redis_server: RedisServer
) -> None:
    with full(redis_server.client), start() as worker:
        assert eventually(lambda: "celery@" in worker.log.read_text() and " ready." in worker.log.read_text())
        assert stays(lambda: worker.process.poll() is None, for_s=5)
        assert "OutOfMemoryError" in worker.log.read_text()  # otherwise this proves nothing
        redis_server.client.config_set("maxmemory", 0)
        assert worker.reaches(CONSUMING), worker.log.read_text()
        worker.send(0.1)
        assert eventually(lambda: worker.finished() == 1)
        assert len(worker.log.read_text().splitlines()) < 100
