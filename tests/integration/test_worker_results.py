"""Celery's result backend, as a worker configures it in the image's own environment, without a database."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from roles.patience import WITH_RESULTS, celery_config

IMAGE = Path(__file__).parents[2] / "airflow_image"
AIRFLOWS_PYTHON = IMAGE.parent / ".venv-airflow" / "bin" / "python"
NOBODY_LISTENS = "db+postgresql+psycopg2://user:password@127.0.0.1:1/none"
PROGRAM = """
import json, sys
from airflow.providers.celery.executors.celery_executor_utils import app
backend, pauses = app.backend, []
backend._sleep = pauses.append
try:
    backend.store_result("id", None, "STARTED")
    raised = None
except Exception as error:
    raised = type(error).__name__
sys.stdout.write("RESULT" + json.dumps({"pauses": len(pauses), "raised": raised}))
"""


@pytest.mark.skipif(not AIRFLOWS_PYTHON.exists(), reason="needs the image's environment (make setup)")
def test_a_worker_tries_again_and_again_while_the_database_is_away(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(IMAGE),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CELERY__RESULT_BACKEND": NOBODY_LISTENS,
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": celery_config(
            json.dumps({"result_backend_max_retries": 4}), WITH_RESULTS
        ),
    }
    ended = subprocess.run(
        [AIRFLOWS_PYTHON, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    answer = json.loads(ended.stdout.rpartition("RESULT")[2])
    # Celery's own raises OperationalError without a pause
    assert answer == {"pauses": 4, "raised": "BackendStoreError"}
