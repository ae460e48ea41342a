"""Runs the pytest files of a folder with DAGs, with the image's packages and a database in which dag.test() works."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from ops.dag_tests.check import PYTHON, environment
from project import paths
from project.errors import CommandError

NAMES = ("test_*.py", "*_test.py")
NO_TESTS = 5  # pytest's exit code
LAUNCHER = Path(__file__).with_name("launch_pytest.py")
DATABASES = paths.ROOT / ".local" / "dag-tests"
DATABASE = "airflow.db"


def has_tests(folder: Path) -> bool:
    """Return whether the folder has files that pytest would collect."""
    return any(True for name in NAMES for _ in folder.rglob(name))


def run(folder: Path, *, quiet: bool = False) -> int:
    """Run the tests; return pytest's exit code, 0 also where it collects none. Raises CommandError.

    Tests get no variable of the caller but those of `check.PASSED_ON`. `quiet`: print nothing.
    """
    import pytest

    folder = folder.resolve()
    site = Path(pytest.__file__).parents[1]
    with environment() as variables:
        home = Path(variables["HOME"])
        shutil.copy(_database(variables), home / DATABASE)
        done = subprocess.run(
            [str(PYTHON), "-P", str(LAUNCHER), str(site), str(folder)],
            env={
                **variables,
                **_settings(folder, home),
                "PYTHONDONTWRITEBYTECODE": "1",  # no file is written into the folder
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )
    return 0 if done.returncode == NO_TESTS else done.returncode


def _settings(folder: Path, home: Path) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / DATABASE}",
    }


def _database(variables: dict[str, str]) -> Path:
    """Return an empty database of the image's Airflow. It is made once for each lock of the image's packages."""
    lock = hashlib.sha256((paths.IMAGE_SOURCE / "requirements.txt").read_bytes()).hexdigest()[:16]
    made = DATABASES / f"{lock}.db"
    if not made.exists():
        home = Path(variables["HOME"], "new")
        home.mkdir()
        done = subprocess.run(
            [str(PYTHON.with_name("airflow")), "db", "migrate"],
            env={**variables, **_settings(home, home), "AIRFLOW_HOME": str(home)},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CommandError(f"the database for the tests cannot be made: {said}")
        DATABASES.mkdir(parents=True, exist_ok=True)
        fresh = made.with_suffix(f".{os.getpid()}")
        shutil.copy(home / DATABASE, fresh)
        fresh.replace(made)
    return made
