"""The examination of a restored database: real dumps of a real Postgres with Airflow's schema, whole and broken."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.servers import postgres_files
from project import paths
from roles.parts import AUTH_MANAGER
from tests.support.airflow_history import AirflowDatabase
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow
from tests.support.servers import PostgresServer

pytestmark = needs_airflow


def run(program: str, database: AirflowDatabase, *arguments: str) -> None:
    server = database.server
    bundled = postgres_files.programs(database.home, uid=None)
    where = [f"--host={server.host}", f"--port={server.port}", f"--username={server.user}", f"--dbname={database.name}"]
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": server.password}
    subprocess.run([bundled / program, *where, *arguments], env=environment, check=True, capture_output=True)


def airflow(database: AirflowDatabase, *arguments: str) -> None:
    environment = {
        "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(database.home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.driver_url,
    }
    subprocess.run(["airflow", *arguments], env=environment, check=True, capture_output=True)


def drill(database: AirflowDatabase, expected: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer of a container with the role `drill`, with its exit code."""
    environment = {
        "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(database.home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.driver_url,
        **AUTH_MANAGER,
        "DRILL_EXPECTED": json.dumps(expected) if expected else "",
    }
    done = subprocess.run(
        [AIRFLOWS_PYTHON, "-m", "agent.drill"], env=environment, capture_output=True, text=True, check=False
    )
    answer: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return {"exit_code": done.returncode, **answer}


@pytest.fixture(scope="module")
def migrated(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = AirflowDatabase(postgres_server, tmp_path_factory.mktemp("airflow"))
    made.migrate(**AUTH_MANAGER)
    made.connection.close()  # no one may be connected to what is copied
    yield made.name
    made.remove()


@contextlib.contextmanager
def filled(server: PostgresServer, folder: Path, *, copy_of: str, dags: int, runs: int) -> Iterator[AirflowDatabase]:
    made = AirflowDatabase(server, folder, copy_of=copy_of)
    made.fill(dags=dags, runs=runs, tasks=10, logs=1000)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def large(
    postgres_server: PostgresServer, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowDatabase]:
    with filled(postgres_server, tmp_path_factory.mktemp("airflow"), copy_of=migrated, dags=100, runs=100) as made:
        yield made


@pytest.fixture(scope="module")
def original(
    postgres_server: PostgresServer, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowDatabase]:
    with filled(postgres_server, tmp_path_factory.mktemp("airflow"), copy_of=migrated, dags=10, runs=10) as made:
        yield made


@pytest.fixture
def copy(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[AirflowDatabase]:
    made = AirflowDatabase(postgres_server, tmp_path)
    yield made
    made.remove()


def restore(original: AirflowDatabase, copy: AirflowDatabase, *, dump: list[str] | None = None, **more: str) -> None:
    """Dump the original with these options and restore it, with `more` options, into the copy."""
    path = copy.home / "dump"
    run("pg_dump", original, "--format=custom", f"--file={path}", *(dump or []))
    run("pg_restore", copy, "--no-owner", *more.values(), str(path))


@pytest.fixture(scope="module")
def expected(original: AirflowDatabase) -> dict[str, Any]:
    return counted(original)


def counted(database: AirflowDatabase) -> dict[str, Any]:
    """Return what the drill counts in a database that is no copy."""
    answer = drill(database)
    assert answer["exit_code"] == 0
    counts: dict[str, Any] = answer["counts"]
    return counts


def test_a_whole_copy_is_whole(original: AirflowDatabase, copy: AirflowDatabase, expected: dict[str, Any]) -> None:
    restore(original, copy)
    answer = drill(copy, expected)
    assert answer["problems"] == []
    assert answer["exit_code"] == 0
    # The migration writes a line into the audit log.
    assert answer["counts"] == {**expected, "audit log": expected["audit log"] + 1}


@pytest.mark.slow
def test_a_whole_copy_of_a_hundred_thousand_task_instances_is_whole(
    large: AirflowDatabase, copy: AirflowDatabase
) -> None:
    counts = counted(large)
    assert counts["task instances"] == 100_000
    assert counts["runs"] == 10_000
    assert counts["DAGs"] == 100
    assert counts["users"] == 0
    restore(large, copy)
    answer = drill(copy, counts)
    assert answer["problems"] == []
    assert answer["exit_code"] == 0
    assert answer["counts"] == {**counts, "audit log": counts["audit log"] + 1}


@pytest.mark.slow
def test_a_copy_of_an_older_release_is_migrated(
    original: AirflowDatabase, copy: AirflowDatabase, expected: dict[str, Any]
) -> None:
    restore(original, copy)
    newest = copy.connection.execute(b"select version_num from alembic_version").fetchone()
    airflow(copy, "db", "downgrade", "--to-version", "3.2.0", "--yes")
    answer = drill(copy, expected)
    assert answer["problems"] == []
    assert newest is not None
    assert answer["revision"] != newest[0]
    assert copy.connection.execute(b"select version_num from alembic_version").fetchone() == newest


def test_a_table_without_its_rows_is_named(
    original: AirflowDatabase, copy: AirflowDatabase, expected: dict[str, Any]
) -> None:
    restore(original, copy, dump=["--exclude-table-data=task_instance", "--exclude-table-data=xcom"])
    answer = drill(copy, expected)
    assert answer["exit_code"] == 1
    assert "task instances: 0 rows, the original has 1000" in answer["problems"]


def test_a_missing_table_is_named(original: AirflowDatabase, copy: AirflowDatabase, expected: dict[str, Any]) -> None:
    restore(original, copy, dump=["--exclude-table=log"])
    answer = drill(copy, expected)
    assert answer["exit_code"] == 1
    assert answer["problems"][0] == "audit log: the table log is missing, the original has 1000 rows"
    assert "missing: table log" in answer["problems"]


def test_a_copy_without_indexes_and_keys_is_not_whole(
    original: AirflowDatabase, copy: AirflowDatabase, expected: dict[str, Any]
) -> None:
    restore(original, copy, section="--section=pre-data", data="--section=data")
    answer = drill(copy, expected)
    assert answer["exit_code"] == 1
    assert "missing: primary key of dag_run" in answer["problems"]
    assert "missing: foreign key of task_instance to dag_run" in answer["problems"]
    assert any(problem.startswith("missing: index ") for problem in answer["problems"])


def test_an_empty_database_is_none_of_airflow(copy: AirflowDatabase, expected: dict[str, Any]) -> None:
    answer = drill(copy, expected)
    assert answer["exit_code"] == 1
    assert "there is no table alembic_version: this is no database of Airflow, or not all of it" in answer["problems"]


def test_a_database_that_is_away_is_a_fault(copy: AirflowDatabase, expected: dict[str, Any]) -> None:
    copy.driver_url = copy.driver_url.replace(f"/{copy.name}", "/nowhere")
    answer = drill(copy, expected)
    assert answer["exit_code"] == 1
    assert "does not exist" in answer["problems"][0]
