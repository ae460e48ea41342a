"""Programs in the image's own environment, asked for one answer."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet.pools import pool_entry
from project import paths

IMAGE = Path(__file__).parents[2] / "airflow_image"
AIRFLOWS_PYTHON = IMAGE.parent / ".venv-airflow" / "bin" / "python"
needs_airflow = pytest.mark.skipif(not AIRFLOWS_PYTHON.exists(), reason="needs the image's environment (make setup)")
# What a scheduler or DAG processor is told of the pools.
POOLS = json.dumps(
    [pool_entry(name="worker", queues=["default", "heavy"], minimum=0, maximum=4, concurrency=2, service="")]
)
_ANSWER = "RESULT"
_PREFACE = f"""
import json, sys

def answer(value):
    sys.stdout.write("{_ANSWER}" + json.dumps(value))
"""


def asked(program: str, *, home: Path, **settings: str) -> Any:
    """Return what `program` passes to `answer`, a function that it finds; `settings` are its environment variables.

    What it prints besides, as Airflow does, is left alone. subprocess.CalledProcessError when it fails.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(home),
        **settings,
    }
    ended = subprocess.run(
        [AIRFLOWS_PYTHON, "-c", _PREFACE + program], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout.rpartition(_ANSWER)[2])
