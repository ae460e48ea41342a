"""The local stack stores a seed in a real Airflow, and follows its file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.micro.page import webserver as servers
from bench.micro.page.webserver import Webserver
from local.stack import kept
from local.stack.live_dags import Follower, first_seed
from local.stack.rest_api import ADMIN, Airflow
from tests.support.airflows_python import needs_airflow

pytestmark = [needs_airflow, pytest.mark.slow]
SEED = """
variables:
  greeting: hello
connections:
  lake: postgresql://ada:p%40ss@db.internal:5432/lake
"""


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "airflow_local.yaml"
    path.write_text(SEED)
    return path


def test_a_seed_is_stored_and_stored_again_when_its_file_changes(webserver: Webserver, seed: Path) -> None:
    airflow = Airflow(webserver.url, user=ADMIN, password=servers.PASSWORD)
    assert first_seed(airflow, seed) == "1 variables and 1 connections"
    follower = Follower(airflow, folder=None, seed=seed)
    found = webserver.get("/api/v2/connections/lake", user="admin").json()
    assert (found["conn_type"], found["host"], found["login"], found["schema"]) == (
        *("postgres", "db.internal", "ada", "lake"),
    )
    seed.write_text(SEED.replace("hello", "good morning"))
    follower.follow()
    assert webserver.get("/api/v2/variables/greeting", user="admin").json()["value"] == "good morning"
    seed.write_text("variables: [top-secret-value")
    follower.follow()
    assert follower.lines() == [f"{seed}:1: this is not YAML"]
    seed.write_text(SEED)
    follower.follow()
    assert follower.lines() == []
    follower.close()


FIELDS = {"conn_type": "http", "host": "api.example.com", "login": "ada", "password": "p@ss: %/?#", "port": 8080}
KEPT = f"""
variables:
  plain: "a 'quoted' text\\n of two lines"
  limits: {{rows: 1000, names: ["é", ""]}}
connections:
  api: {json.dumps({**FIELDS, "extra": {"timeout": 5, "nested": {"a": [1]}}})}
  bare: {{conn_type: aws}}
  lake: postgresql://ada:p%40ss@db.internal:5432/lake?sslmode=require
"""


def exported(webserver: Webserver) -> dict[str, Any]:
    """Return what `KEEP=1` keeps of this Airflow."""
    home = webserver.log.parent
    done = subprocess.run(
        [servers.PYTHON, "-c", kept.EXPORT],
        env=servers.environment(home=home, broker_url="redis://127.0.0.1:1"),
        cwd=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.rpartition(kept.MARK)[2])
    return found


def test_what_is_kept_is_stored_again_as_it_was(webserver: Webserver, tmp_path: Path) -> None:
    seed, file = tmp_path / "airflow_local.yaml", tmp_path / "kept.json"
    seed.write_text(KEPT)
    airflow = Airflow(webserver.url, user=ADMIN, password=servers.PASSWORD)
    first_seed(airflow, seed)
    before = exported(webserver)
    assert {"api", "bare", "lake"} <= {*before["connections"]}
    assert before["connections"]["api"]["password"] == FIELDS["password"]
    file.write_text(json.dumps(before))
    for path in ("connections/api", "connections/bare", "connections/lake", "variables/plain", "variables/limits"):
        airflow.call("DELETE", f"/api/v2/{path}")
    assert "api" not in exported(webserver)["connections"]
    first_seed(airflow, file)
    assert exported(webserver) == before
    airflow.close()
