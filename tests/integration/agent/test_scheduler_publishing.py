"""A scheduler, configured as in the image, sends messages to a broker that does not answer."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roles.celery_settings import WITH_THE_BROKER, celery_config
from tests.support.airflows_python import asked, needs_airflow

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


@needs_airflow
def test_a_message_to_a_broker_in_failover_is_left_for_airflow_to_send_again(failing_over: str, tmp_path: Path) -> None:
    ends = asked(
        PROGRAM,
        home=tmp_path,
        AIRFLOW__CELERY__BROKER_URL=failing_over,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=celery_config(None, WITH_THE_BROKER),
    )
    # With Celery's own retry policy, messages after the first raise OperationalError, which fails the task.
    assert ends == ["AirflowTaskTimeout"] * 4
