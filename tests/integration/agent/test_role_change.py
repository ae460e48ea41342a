"""A worker whose Redis changes its role, or loses connections or data: its tasks run on, and none runs twice."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import kombu
import pytest
import redis

from agent.conduct import NO_ANSWER
from fleet.access import unacked_keys
from fleet.member import CONSUMING
from local.servers.relay import Relay
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow
from tests.support.celery_worker import POOL, QUEUE, SLOTS, Worker, running_worker
from tests.support.fake_ecs import FakeEcs
from tests.support.servers import RedisServer
from tests.support.waiting import eventually, stays

pytestmark = needs_airflow  # the image's kombu
NO_PRIMARY = ("127.0.0.1", "1")
REPLICA_S = 2.0
VISIBILITY_TIMEOUT_S = 2
STARTS_WITHIN_S = 120.0  # on a busy machine
ENDS_WITHIN_S = 30.0
BROKER = "broker"
LEAVES_WITHIN_S = 60.0  # PROOF_S, a connection's time limit, and a busy machine
TRANSPORT_OPTIONS = {
    **dict(zip(("unacked_key", "unacked_index_key", "unacked_mutex_key"), unacked_keys(POOL), strict=True)),
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
}


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def worker(redis_server: RedisServer, relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Yield a worker that consumes, with a visibility timeout of seconds. It survives every test of this module."""
    redis_server.client.flushall()
    host, port = relay.add(BROKER, backend=lambda: (redis_server.host, redis_server.port))
    with (
        contextlib.closing(FakeEcs()) as ecs,
        running_worker(
            client=redis_server.client,
            url=f"redis://{host}:{port}/0",
            ecs=ecs,
            folder=tmp_path_factory.mktemp("worker"),
            python=AIRFLOWS_PYTHON,
            settings={"GATE_MINUTES": "0", "TRANSPORT_OPTIONS": json.dumps(TRANSPORT_OPTIONS)},
        ) as running,
    ):
        assert running.reaches(CONSUMING, within_s=STARTS_WITHIN_S), running.log.read_text()
        yield running
        assert running.process.poll() is None


class Since:
    """What a worker has done since this was made."""

    def __init__(self, worker: Worker) -> None:
        self._log, self._before = worker.log, len(worker.log.read_text())

    def count(self, words: str) -> int:
        return self._log.read_text()[self._before :].count(words)

    @property
    def started(self) -> int:
        return self.count("code ")

    @property
    def finished(self) -> int:
        return self.count(" succeeded in ")


@pytest.fixture
def since(worker: Worker) -> Since:
    assert eventually(lambda: not worker.in_flight and not worker.queued, within_s=ENDS_WITHIN_S)
    assert worker.reaches(CONSUMING, within_s=ENDS_WITHIN_S), worker.log.read_text()
    return Since(worker)


@pytest.fixture
def busy(worker: Worker, since: Since) -> Worker:
    """Return the worker with a task of 8 s in each slot."""
    worker.send(8, count=SLOTS)
    assert eventually(lambda: worker.in_flight == SLOTS, within_s=ENDS_WITHIN_S)
    return worker


@contextlib.contextmanager
def replica(client: redis.Redis, *, serves_stale_data: bool) -> Iterator[None]:
    """Let Redis be a replica that has lost its primary: it answers READONLY to writes, or MASTERDOWN to everything."""
    client.config_set("replica-serve-stale-data", "yes" if serves_stale_data else "no")
    client.replicaof(*NO_PRIMARY)
    try:
        yield
    finally:
        client.replicaof("NO", "ONE")
        client.config_set("replica-serve-stale-data", "yes")


def change_role_twice(client: redis.Redis) -> None:
    with replica(client, serves_stale_data=True):
        time.sleep(REPLICA_S)


def change_role_twice_and_answer_nothing(client: redis.Redis) -> None:
    with replica(client, serves_stale_data=False):
        time.sleep(REPLICA_S)


def end_all_connections(client: redis.Redis) -> None:
    client.client_kill_filter(_type="normal", skipme=True)
    client.client_kill_filter(_type="pubsub", skipme=True)


def lose_everything(client: redis.Redis) -> None:
    client.flushall()


@pytest.mark.parametrize(
    "harm", [change_role_twice, change_role_twice_and_answer_nothing, end_all_connections, lose_everything]
)
def test_running_tasks_end_once_and_the_worker_takes_more(
    busy: Worker, since: Since, harm: Callable[[redis.Redis], None]
) -> None:
    harm(busy.client)
    assert stays(lambda: busy.queued == 0, for_s=3), "a message of a running task waits for another worker"
    busy.send(0.1, count=3)
    assert eventually(lambda: since.finished == SLOTS + 3, within_s=ENDS_WITHIN_S), busy.log.read_text()
    assert eventually(lambda: busy.in_flight == 0)
    assert since.started == SLOTS + 3, "a task ran twice"
    assert busy.reaches(CONSUMING)


def test_a_worker_leaves_connections_that_lead_nowhere_and_says_so_until_then(
    busy: Worker, since: Since, relay: Relay
) -> None:
    relay.swallow(BROKER)
    assert eventually(lambda: since.finished == SLOTS, within_s=ENDS_WITHIN_S)
    busy.send(0.1, count=3)
    assert eventually(lambda: since.finished == SLOTS + 3, within_s=LEAVES_WITHIN_S), busy.log.read_text()
    assert since.started == SLOTS + 3, "a task ran twice"
    assert eventually(lambda: busy.in_flight == 0)
    assert since.count("fleet: takes no messages: ") == since.count(f"fleet: takes no messages: {NO_ANSWER}") == 1
    assert eventually(lambda: since.count("fleet: takes messages again") == 1)


def test_a_worker_takes_no_more_than_its_slots_after_a_reconnection(busy: Worker, since: Since) -> None:
    busy.send(0.1, count=3)
    end_all_connections(busy.client)
    held = []

    def has_finished() -> bool:
        held.append(busy.in_flight)
        return since.finished == SLOTS + 3

    assert eventually(has_finished, within_s=ENDS_WITHIN_S)
    assert since.count("connecting to the broker again") == 1
    assert max(held) == SLOTS


def test_a_task_that_outlasts_the_visibility_timeout_is_not_delivered_again(busy: Worker) -> None:
    time.sleep(2 * VISIBILITY_TIMEOUT_S)
    url = "redis://{host}:{port}/0".format(**busy.client.connection_pool.connection_kwargs)
    with kombu.Connection(url, transport_options=TRANSPORT_OPTIONS) as connection:  # as another worker does
        connection.channel().qos.restore_visible(interval=1)
    assert busy.queued == 0
    assert busy.in_flight == SLOTS


@pytest.mark.parametrize("message", ["no JSON", "{}", "[]", '{"body": "", "properties": {}}'])
def test_a_malformed_message_ends_no_worker(worker: Worker, since: Since, message: str) -> None:
    worker.client.lpush(QUEUE, message)
    worker.send(0.1)
    assert eventually(lambda: since.finished == 1, within_s=ENDS_WITHIN_S), worker.log.read_text()
    assert since.count("a message that cannot be read is dropped") == 1
    assert since.count("connecting to the broker again") == 0
