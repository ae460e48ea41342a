"""The revisions that the image prints, compared with a database that its Airflow has created."""

import contextlib
import json
import os
import sqlite3
import subprocess

import pytest

from bench.micro.page.webserver import IMAGE, PYTHON, Webserver
from project import paths


@pytest.mark.slow
def test_the_image_names_the_revision_that_its_migration_leads_to_and_all_before_it(webserver: Webserver) -> None:
    home = webserver.log.parent
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths.IMAGE_PYTHONPATH, "AIRFLOW_HOME": str(home)}
    done = subprocess.run(
        [PYTHON, IMAGE / "entrypoint", "schema"], env=environment, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        ((revision,),) = database.execute("select version_num from alembic_version")
    assert said["revision"] == said["lineage"][0] == revision
    assert len(set(said["lineage"])) == len(said["lineage"]) > 100
    assert said["airflow_version"].startswith("3.")
