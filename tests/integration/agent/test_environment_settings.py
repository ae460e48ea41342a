"""One image has other settings in other environments, as Airflow itself reads them in the programs of its roles."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project import environments, paths
from tests.support.airflows_python import AIRFLOWS_PYTHON, IMAGE, needs_airflow
from tests.support.aws_api import aws_api
from tests.unit.agent.test_entrypoint import GIVEN

pytestmark = needs_airflow
OPTIONS = {
    "instance_name": ("api", "instance_name"),
    "retries": ("core", "default_task_retries"),
    "dsn": ("sentry", "sentry_dsn"),
}
# Airflow as each role's program finds it: it tells what it reads instead of doing its work.
PROGRAM = f"""#!{AIRFLOWS_PYTHON}
import json
from airflow.configuration import conf
print("READ" + json.dumps({{name: conf.get(*option, fallback="") for name, option in {OPTIONS!r}.items()}}))
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder with the programs that roles become."""
    for name in ("airflow", "python"):
        path = tmp_path / name
        path.write_text(PROGRAM)
        path.chmod(0o755)
    return tmp_path


def read_by(role: str, programs: Path, **variables: str) -> Any:
    """Run the image's entrypoint; return what Airflow reads in the program of the role."""
    given = {
        **GIVEN,
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(programs),
        "DATABASE_SSLMODE": "disable",
        **variables,
    }
    given["PATH"] = os.pathsep.join((str(programs), "/usr/bin", "/bin"))
    command = [sys.executable, str(IMAGE / "entrypoint"), role]
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.rpartition("READ")[2])


def variables_of(environment: str) -> dict[str, str]:
    given = environments.load(environment).parameters
    return {"AIRFLOW_SETTINGS": given["AirflowSettings"], "TASK_SETTINGS": given.get("TaskSettings", "")}


def test_one_image_has_other_settings_in_dev_than_in_qa(programs: Path) -> None:
    """With the values of the environments' own files."""
    names = {name: read_by("migrate", programs, **variables_of(name))["instance_name"] for name in ("dev", "qa")}
    assert names == {"dev": "Airflow dev", "qa": "Airflow qa"}


def test_tasks_read_only_what_is_for_them(programs: Path) -> None:
    settings = {
        "TASK_SETTINGS": "AIRFLOW__CORE__DEFAULT_TASK_RETRIES=3\n",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1",  # the image's
    }
    assert read_by("runner", programs, **settings)["retries"] == "3"
    assert read_by("migrate", programs, **settings)["retries"] == "3"


def test_a_secret_setting_is_read_from_the_secret_that_it_names(programs: Path) -> None:
    with aws_api() as api:
        api.client("secretsmanager").create_secret(Name="airflow/qa/config/sentry", SecretString="https://k@s/1")
        at = {name: value for name, value in api.environment.items() if name.startswith("AWS_")}
        setting = "AIRFLOW__SENTRY__SENTRY_DSN_SECRET=sentry"
        read = read_by("runner", programs, TASK_SETTINGS=setting, CONNECTIONS_PREFIX="airflow/qa", **at)
    assert read["dsn"] == "https://k@s/1"


def test_the_list_of_options_is_that_of_the_images_packages(tmp_path: Path) -> None:
    """`make options` writes it."""
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_CONFIG": str(IMAGE / "airflow.cfg"),
        "AIRFLOW_HOME": str(tmp_path),
    }
    command = [str(AIRFLOWS_PYTHON), str(paths.ROOT / "tools" / "airflow_options.py")]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert (paths.ROOT / "project" / "airflow_options.txt").read_text() == printed
