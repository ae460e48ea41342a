"""Messages of a scheduler, configured as in the image and in its own environment, to a broker that answers nothing."""

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
    """The address of a broker that is not there yet, behind something that takes connections and closes them."""
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
def test_a_message_to_a_broker_that_fails_over_ends_as_airflow_sends_it_again(
    failing_over: str, tmp_path: Path
) -> None:
    ends = asked(
        PROGRAM,
        home=tmp_path,
        AIRFLOW__CELERY__BROKER_URL=failing_over,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=celery_config(None, WITH_THE_BROKER),
    )
    # Without the patience those after the first are OperationalError, which fails the task
    assert ends == ["AirflowTaskTimeout"] * 4
