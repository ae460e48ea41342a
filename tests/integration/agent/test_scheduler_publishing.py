"""A scheduler, configured as in the image, sends messages to a broker that does not answer or refuses them."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.servers.redis import Redis
from roles.celery_settings import SCHEDULER, celery_config
from roles.parts import RESULTS_URL_PREFIX
from tests.support.airflows_python import POOLS, asked, needs_airflow

PROGRAM = """
from airflow.providers.celery.executors.celery_executor_utils import OPERATION_TIMEOUT, app
from airflow.sdk.execution_time.timeout import timeout

@app.task
def nothing(): pass

ends = []
for _ in range(4):
    try:
        with timeout(seconds=OPERATION_TIMEOUT):
            nothing.apply_async()
    except BaseException as error:
        ends.append(type(error).__name__)
answer(ends)
"""

# A scheduler's executor, with `count` tasks to send; `send` is one loop of the scheduler.
EXECUTOR = """
import time, uuid
from types import SimpleNamespace
from airflow.executors.workloads import ExecuteTask
from agent.executor import FleetExecutor
from agent.refusals import SEND_AGAIN_AFTER_S

executor = FleetExecutor()

class Task:
    def __init__(self):
        self.ti = SimpleNamespace(key=str(uuid.uuid4()), id="id", queue="default", external_executor_id=None)
    def model_dump_json(self):
        return "{}"

def queue(count):
    for _ in range(count):
        task = Task()
        executor.queued_tasks[task.ti.key] = task

def send():
    began = time.monotonic()
    tasks = list(executor.queued_tasks.values())
    executor._send_workloads([(task.ti.key, task, "default", None) for task in tasks])
    return time.monotonic() - began

def states():
    return sorted({str(state) for state, _ in executor.event_buffer.values()})
"""
REFUSED_FOR_A_WHILE = """
import redis
broker = redis.Redis.from_url(URL)
broker.REFUSE
queue(5)
for _ in range(5):  # Airflow gives up after its task_publish_max_retries, 3 by default
    time.sleep(SEND_AGAIN_AFTER_S)
    send()
meanwhile = [len(executor.queued_tasks), states()]
broker.ACCEPT
time.sleep(SEND_AGAIN_AFTER_S)
send()
answer({"meanwhile": meanwhile, "then": [len(executor.queued_tasks), states(), broker.llen("default")]})
"""
FULL_FOR_EVER = """
import redis
redis.Redis.from_url(URL).config_set("maxmemory", 1)
queue(2)
send()
waits = states()
time.sleep(1)
send()
answer([waits, states(), len(executor.queued_tasks)])
"""
DENIED = """
import redis
redis.Redis.from_url(URL).acl_setuser("default", enabled=True, commands=["-lpush"])
queue(1)
send()
answer([len(executor.queued_tasks), states()])
"""
BROKEN = """
from airflow.providers.celery.executors.celery_executor_utils import app
queue(1)
send()
with app.producer_pool.acquire() as producer:
    producer.channel.connection = None  # as a time limit in the middle of a call may leave it
    producer.connection._default_channel = producer.channel
queue(1)
send()
meanwhile = [len(executor.queued_tasks), states()]
time.sleep(SEND_AGAIN_AFTER_S)
send()
answer([meanwhile, len(executor.queued_tasks), states()])
"""
SILENT = """
queue(5)
took_s = send()
answer([len(executor.queued_tasks), states(), took_s, send()])
"""


def patient(program: str, url: str, home: Path, *, minutes: float = 10) -> Any:
    return asked(
        f"URL = {url!r}\n{EXECUTOR}{program}",
        home=home,
        POOLS=POOLS,
        BROKER_PATIENCE_MINUTES=str(minutes),
        AIRFLOW__CELERY__BROKER_URL=url,
        AIRFLOW__CELERY__RESULT_BACKEND=RESULTS_URL_PREFIX + url,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=celery_config(None, SCHEDULER),
    )


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    server = Redis(tmp_path / "redis").start()
    yield f"redis://{server.host}:{server.port}/0"
    server.stop()


@needs_airflow
@pytest.mark.parametrize(
    ("refuse", "accept"),
    [
        pytest.param('config_set("maxmemory", 1)', 'config_set("maxmemory", 0)', id="full", marks=pytest.mark.slow),
        pytest.param('replicaof("127.0.0.1", 1)', 'replicaof("NO", "ONE")', id="read-only"),
    ],
)
def test_messages_wait_while_the_broker_refuses_them_and_are_sent_afterwards(
    refuse: str, accept: str, own_redis: str, tmp_path: Path
) -> None:
    program = REFUSED_FOR_A_WHILE.replace("REFUSE", refuse).replace("ACCEPT", accept)
    answer = patient(program, own_redis, tmp_path)
    assert answer == {"meanwhile": [5, []], "then": [0, ["queued"], 5]}


@needs_airflow
def test_a_task_fails_when_the_broker_is_full_for_longer_than_the_patience(own_redis: str, tmp_path: Path) -> None:
    assert patient(FULL_FOR_EVER, own_redis, tmp_path, minutes=1 / 60) == [[], ["failed"], 0]


@needs_airflow
def test_a_task_fails_at_once_when_the_broker_does_not_let_the_scheduler_queue_it(
    own_redis: str, tmp_path: Path
) -> None:
    assert patient(DENIED, own_redis, tmp_path) == [0, ["failed"]]


@needs_airflow
def test_a_silent_broker_holds_the_scheduler_up_for_one_message_a_loop(failing_over: str, tmp_path: Path) -> None:
    waiting, states, took_s, next_took_s = patient(SILENT, failing_over, tmp_path)
    assert (waiting, states) == (5, [])
    assert took_s < 3  # a second for each message would be 5
    assert next_took_s < 0.5  # the next loop does not try at once


@pytest.mark.slow
@needs_airflow
def test_a_connection_that_a_time_limit_left_broken_is_replaced(own_redis: str, tmp_path: Path) -> None:
    assert patient(BROKEN, own_redis, tmp_path) == [[1, ["queued"]], 0, ["queued"]]


@pytest.fixture
def failing_over() -> Iterator[str]:
    """Yield the address of an absent broker, behind a server that accepts connections and closes them."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_each() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test has ended
                    return
                connection.close()

        thread = threading.Thread(target=close_each)
        thread.start()
        yield f"redis://:password@127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.slow
@needs_airflow
def test_a_message_to_a_broker_in_failover_is_left_for_airflow_to_send_again(failing_over: str, tmp_path: Path) -> None:
    ends = asked(
        PROGRAM,
        home=tmp_path,
        AIRFLOW__CELERY__BROKER_URL=failing_over,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=celery_config(None, SCHEDULER),
    )
    # With Celery's own retry policy, messages after the first raise OperationalError, which fails the task.
    assert ends == ["AirflowTaskTimeout"] * 4
