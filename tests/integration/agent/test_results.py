"""Celery's results, stored and read as the image configures them, in a real Redis."""

import json
import pickle
from pathlib import Path

import pytest

from roles.celery_settings import WORKER, celery_config
from roles.parts import RESULTS_URL_PREFIX
from tests.support.airflows_python import asked, needs_airflow
from tests.support.servers import RedisServer

pytestmark = needs_airflow

NO_SERVER = "redis://127.0.0.1:1/0"
KEY = "celery-task-meta-id"
STORE = """
from airflow.providers.celery.executors.celery_executor_utils import app
app.backend.store_result("id", ValueError("a secret of the task"), "FAILURE", traceback="a secret line")
answer({"type": type(app.backend).__name__})
"""
READ = """
from airflow.providers.celery.executors.celery_executor_utils import BulkStateFetcher, app
from celery.result import AsyncResult
asked_for = [AsyncResult(name, app=app) for name in ("exception", "pickle")]
read = BulkStateFetcher(1, celery_app=app).get_many(asked_for)
answer({each.task_id: [*read[each.task_id], repr(each.result)] for each in asked_for})
"""
AWAY = """
from airflow.providers.celery.executors.celery_executor_utils import app
backend, pauses = app.backend, []
backend._sleep = pauses.append
try:
    backend.store_result("id", None, "SUCCESS")
    raised = None
except Exception as error:
    raised = type(error).__name__
answer({"pauses": len(pauses), "raised": raised})
"""


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


def backend(url: str, **settings: object) -> dict[str, str]:
    return {
        "AIRFLOW__CELERY__RESULT_BACKEND": RESULTS_URL_PREFIX + url,
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": celery_config(json.dumps(settings), WORKER),
    }


def test_a_result_is_the_state_and_nothing_of_the_task(redis_server: RedisServer, tmp_path: Path) -> None:
    assert asked(STORE, home=tmp_path, **backend(redis_server.url)) == {"type": "StateBackend"}
    stored = json.loads(redis_server.client.get(KEY) or "")
    assert stored == {"task_id": "id", "status": "FAILURE", "result": None, "traceback": None, "children": []}
    assert 0 < redis_server.client.ttl(KEY) <= 86_400


def test_nothing_in_a_forged_result_is_rebuilt_or_loaded(redis_server: RedisServer, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    exception = {"exc_type": "system", "exc_message": ["touch x"], "exc_module": "os"}
    redis_server.client.mset(
        {
            "celery-task-meta-exception": json.dumps(
                {"task_id": "exception", "status": "FAILURE", "result": exception}
            ),
            "celery-task-meta-pickle": pickle.dumps(Planted(mark)),
        }
    )
    pickle.loads(pickle.dumps(Planted(mark))).close()  # noqa: S301
    assert mark.exists(), "the pickle works"
    mark.unlink()
    # Even an operator's own settings make no reader load a pickle.
    settings = backend(redis_server.url, result_serializer="pickle", result_accept_content=["pickle"])
    states = asked(READ, home=tmp_path, **settings)
    assert states == {"exception": ["FAILURE", None, "None"], "pickle": ["PENDING", None, "None"]}
    assert not mark.exists()


def test_a_worker_keeps_trying_while_redis_is_away(tmp_path: Path) -> None:
    answer = asked(AWAY, home=tmp_path, **backend(NO_SERVER, result_backend_max_retries=4))
    assert answer == {"pauses": 4, "raised": "BackendStoreError"}


@pytest.mark.slow
def test_a_worker_keeps_trying_while_redis_is_a_replica(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.client.replicaof("127.0.0.1", "1")
    try:
        answer = asked(AWAY, home=tmp_path, **backend(redis_server.url, result_backend_max_retries=4))
    finally:
        redis_server.client.replicaof("NO", "ONE")
    assert answer == {"pauses": 4, "raised": "BackendStoreError"}
