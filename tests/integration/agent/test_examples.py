"""The examples of tasks with packages of their own, run by Airflow with a private index that asks for a password."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from project import paths
from tests.support.airflows_python import AIRFLOWS_PYTHON, POOLS, needs_airflow
from tests.support.package_index import NAME, PASSWORD, USER, VERSION, WHEEL, PackageIndex, package_index

EXAMPLES = paths.ROOT / "examples"
# Runs a DAG twice in one process, as two tasks of a worker, and says what its tasks returned.
RUN = """
import importlib.util, json, sys
name, path, out = sys.argv[1:]
spec = importlib.util.spec_from_file_location("example", path)
module = importlib.util.module_from_spec(spec)
sys.modules["example"] = module
spec.loader.exec_module(module)
found = getattr(module, name)()
answers = []
for _ in range(2):
    run = found.test()
    answers.append([str(run.state), *(each.xcom_pull(task_ids=each.task_id) for each in run.get_task_instances())])
open(out, "w").write(json.dumps(answers))
"""

pytestmark = [needs_airflow, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index() as served:
        yield served


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of an Airflow with a database."""
    made = tmp_path_factory.mktemp("airflow")
    airflow = AIRFLOWS_PYTHON.with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment(made), check=True, capture_output=True)
    return made


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "POOLS": POOLS,
        **more,
    }


def run_twice(home: Path, name: str, path: Path, **more: str) -> tuple[Any, str]:
    """Run the example twice; return what it answered, None if it failed, and all that it printed and logged."""
    out = home / f"{name}.json"
    out.unlink(missing_ok=True)
    ended = subprocess.run(
        [AIRFLOWS_PYTHON, "-c", RUN, name, str(path), str(out)],
        env=environment(home, **more), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    logs = "".join(path.read_text(errors="replace") for path in home.rglob("*.log"))
    return (json.loads(out.read_text()) if out.exists() else None), said + logs


def connection(index: PackageIndex, *, password: str = PASSWORD) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_PRIVATE_INDEX": json.dumps(
            {"conn_type": "package_index", "host": index.url, "login": USER, "password": password}
        )
    }


def holding(folder: Path, secret: str) -> list[Path]:
    """Return the files below `folder` in which the secret is, but for those of cached environments."""
    cached = folder / "virtualenvs"
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(cached))
    return [
        path for path in files if secret.encode() in path.read_bytes() or quote(secret).encode() in path.read_bytes()
    ]


def test_a_task_gets_its_packages_from_a_private_index_and_the_next_one_finds_them(
    home: Path, index: PackageIndex
) -> None:
    answers, said = run_twice(home, "virtualenv", EXAMPLES / "virtualenv.py", **connection(index))
    assert answers == [["success", "greetings to a task"]] * 2, said[-4000:]
    assert f"/files/{WHEEL}" in index.requests
    assert index.requests.count(f"/files/{WHEEL}") == 1
    assert "Reusing cached Python virtual environment" in said
    assert PASSWORD not in said
    assert holding(home, PASSWORD) == []


def test_a_package_that_the_index_does_not_have_fails_the_task_without_showing_the_password(
    home: Path, index: PackageIndex, tmp_path: Path
) -> None:
    example = tmp_path / "virtualenv.py"
    example.write_text((EXAMPLES / "virtualenv.py").read_text().replace(f"{NAME}=={VERSION}", f"{NAME}==9.9"))
    answers, said = run_twice(home, "virtualenv", example, **connection(index))
    assert answers is None or answers[0][0] == "failed"
    assert f"{NAME}==9.9" in said
    assert PASSWORD not in said
    assert holding(home, PASSWORD) == []


def test_a_task_runs_with_another_python_of_the_image(home: Path, index: PackageIndex, tmp_path: Path) -> None:
    other = tmp_path / "greeting"
    subprocess.run([AIRFLOWS_PYTHON, "-m", "venv", other], check=True)
    subprocess.run(
        [other / "bin" / "pip", "install", "--quiet", "--index-url", index.url_with_password, f"{NAME}=={VERSION}"],
        check=True,
    )
    python = {"GREETING_PYTHON": str(other / "bin" / "python")}
    answers, said = run_twice(home, "external_python", EXAMPLES / "external_python.py", **python)
    assert answers == [["success", "greetings to a task"]] * 2, said[-4000:]
