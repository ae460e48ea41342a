"""The local stack stores a seed in a real Airflow, and follows its file."""

from pathlib import Path

import pytest

from bench.micro.page import webserver as servers
from bench.micro.page.webserver import Webserver
from local.stack.live_dags import Follower, first_seed
from local.stack.rest_api import RestApi
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
    api = RestApi(webserver.url, password=servers.PASSWORD)
    assert first_seed(api, seed) == "1 variables and 1 connections"
    follower = Follower(api, folder=None, seed=seed)
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
