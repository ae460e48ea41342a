"""The image's plugins as Airflow itself loads them: its plugin managers, its application, no database."""

import json
import os
import subprocess
from pathlib import Path

from bench.micro.page.webserver import DECLARED, IMAGE, PYTHON
from project import paths
from tests.support.fake_ecs import TASK_ARN

WEBSERVER = """
import json, sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from airflow.api_fastapi.app import init_plugins
app = FastAPI()
init_plugins(app)
@app.get("/{rest:path}")
def ui(rest): return "the page"
client = TestClient(app)
answers = [client.get(path, follow_redirects=False) for path in ("/fleet/other", "/fleet/version", "/fleet/api/fleet")]
print(json.dumps([a.status_code for a in answers]))
"""
TASK = """
from airflow.sdk.listener import get_listener_manager
get_listener_manager().hook.on_task_instance_running(previous_state=None, task_instance=None)
"""


def airflow(code: str, *, role: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` with the packages and the variables of a container."""
    environment = {
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(IMAGE / "plugins"),
        "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:1/0",  # nothing listens there
        "POOLS": json.dumps(DECLARED),
        "FLEET_ROLE": role,
        "FLEET_TASK_ARN": TASK_ARN,
        "FLEET_DAGS_HASH": "0123abcd",
        "IMAGE_VERSION": "1.2.3",
    }
    return subprocess.run([PYTHON, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_the_plugin_serves_the_page_to_the_signed_in_only_and_no_version(tmp_path: Path) -> None:
    said = json.loads(airflow(WEBSERVER, role="webserver", home=tmp_path).stdout.splitlines()[-1])
    assert said == [404, 404, 401]


def test_a_task_logs_which_code_it_runs(tmp_path: Path) -> None:
    done = airflow(TASK, role="runner", home=tmp_path)
    assert "dags_hash=0123abcd image_version=1.2.3" in done.stdout + done.stderr
