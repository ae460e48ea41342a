"""Celery's result backend, as a worker configures it in the image's own environment, without a database."""

import json
from pathlib import Path

from roles.celery_settings import WITH_RESULTS, celery_config
from tests.support.airflows_python import asked, needs_airflow

NOBODY_LISTENS = "db+postgresql+psycopg2://user:password@127.0.0.1:1/none"
# In every attempt Celery tries ten times to create its tables, each after half a second on average.
PROGRAM = """
from types import SimpleNamespace
from celery.backends.database import session
session.time = SimpleNamespace(sleep=lambda seconds: None)
from airflow.providers.celery.executors.celery_executor_utils import app
backend, pauses = app.backend, []
backend._sleep = pauses.append
try:
    backend.store_result("id", None, "STARTED")
    raised = None
except Exception as error:
    raised = type(error).__name__
answer({"pauses": len(pauses), "raised": raised})
"""


@needs_airflow
def test_a_worker_keeps_trying_while_the_database_is_away(tmp_path: Path) -> None:
    answer = asked(
        PROGRAM,
        home=tmp_path,
        AIRFLOW__CELERY__RESULT_BACKEND=NOBODY_LISTENS,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=celery_config(json.dumps({"result_backend_max_retries": 4}), WITH_RESULTS),
    )
    # Celery's default raises OperationalError without a pause.
    assert answer == {"pauses": 4, "raised": "BackendStoreError"}
