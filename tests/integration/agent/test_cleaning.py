"""The cleaning on Airflow's real schema, in a real Postgres."""

import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.cleaning.tables import CALLBACKS_ENDED, TABLES
from project import paths
from tests.support.airflow_history import AirflowDatabase
from tests.support.airflows_python import AIRFLOWS_PYTHON, asked, needs_airflow
from tests.support.servers import PostgresServer

log = logging.getLogger(__name__)

KEEP_DAYS = 90
# A query of the scheduler must not wait for long, however much is deleted beside it.
LONGEST_WAIT_S = 1.0
SCHEMA = """
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.callback import TERMINAL_STATES
from airflow.utils.db_cleanup import config_dict

import_all_models()
cascades = [
    (key.column.table.name, table.name)
    for table in Base.metadata.tables.values()
    for key in table.foreign_keys
    if (key.ondelete or "").upper() == "CASCADE"
]
answer({
    "tables": sorted(Base.metadata.tables),
    "cascades": cascades,
    "cleaned_by_airflow": sorted(config_dict),
    "callbacks_ended": sorted(str(state) for state in TERMINAL_STATES),
})
"""
# Tables that do not grow with the runs, or that other processes keep small.
SMALL = {
    # What operators and DAG files declare.
    *("connection", "variable", "slot_pool", "team", "dag_bundle", "dag_bundle_team", "log_template", "asset"),
    *(
        "asset_active",
        "asset_alias",
        "asset_alias_asset",
        "asset_trigger",
        "asset_watcher",
        "dag_schedule_asset_alias_reference",
    ),
    *("asset_state_store", "dag_priority_parsing_request", "dag_warning", "import_error", "deadline_alert"),
    # Deleted by those who wait for it: the DAG processor and the triggerer.
    *("callback_request", "trigger"),
    # Filled by a migration of Airflow 2 only.
    "_xcom_archive",
}

pytestmark = needs_airflow


class Database(AirflowDatabase):
    """A database with the cleaning of it."""

    def begin(self, *, dry: bool = False, keep_days: int = KEEP_DAYS) -> "subprocess.Popen[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.driver_url,
            "CLEAN_KEEP_DAYS": str(keep_days),
            "CLEAN_DRY_RUN": "1" if dry else "",
        }
        program = [str(AIRFLOWS_PYTHON), "-m", "agent.cleaning"]
        return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)

    def clean(self, *, exit_code: int = 0, **given: Any) -> str:
        """Clean it; return what that says."""
        process = self.begin(**given)
        _, said = process.communicate(timeout=200)
        assert process.returncode == exit_code, said
        return said


@pytest.fixture(scope="module")
def migrated(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = AirflowDatabase(postgres_server, tmp_path_factory.mktemp("airflow"))
    made.migrate()
    made.connection.close()  # no one may be connected to what is copied
    yield made.name
    made.remove()


@pytest.fixture
def database(postgres_server: PostgresServer, migrated: str, tmp_path: Path) -> Iterator[Database]:
    made = Database(postgres_server, tmp_path, copy_of=migrated)
    yield made
    made.remove()


def deleted(said: str, what: str) -> int:
    found = re.search(rf"deleted: (\d+) {what}", said)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("dags", [10, pytest.param(100, id="a hundred thousand tasks", marks=pytest.mark.slow)])
def test_a_history_is_thinned_out_beside_a_scheduler(database: Database, dags: int) -> None:
    database.fill(dags=dags, runs=100, tasks=10, logs=40_000)
    assert database.count("task_instance") == dags * 1000
    waits: list[float] = []
    done = threading.Event()

    def schedule() -> None:
        """Do what a loop of the scheduler does: lock runs, change tasks of them."""
        with psycopg.connect(database.url) as connection:
            while not done.is_set():
                began = time.monotonic()
                connection.execute("select id from dag_run where state = 'running' for update skip locked")
                connection.execute(
                    "update task_instance set updated_at = now() where id in "
                    "(select id from task_instance where dag_id = 'dag7' and run_id = 'run1' for update)"
                )
                connection.commit()
                waits.append(time.monotonic() - began)
                time.sleep(0.01)

    scheduler = threading.Thread(target=schedule)
    scheduler.start()
    began = time.monotonic()
    said = database.clean()
    took_s = time.monotonic() - began
    done.set()
    scheduler.join()
    # Runs that ended more than 90 days ago: 45 of each 100 are younger.
    assert f"old: {dags * 55} runs with {dags * 55 * 10} task instances" in said
    assert deleted(said, "runs") == dags * 55
    assert database.count("dag_run") == dags * 45
    assert database.count("task_instance") == dags * 45 * 10
    assert database.count("xcom") == dags * 45
    assert database.count("log", f"dttm < now() - interval '{KEEP_DAYS} days'") == 0
    # Of each series, the last row that may stay is as old as the limit, and it is older by now.
    assert database.count("log") == KEEP_DAYS * 240 - 1
    assert database.count("job") == KEEP_DAYS - 1
    assert database.count("celery_taskmeta") == KEEP_DAYS * 24 - 1
    assert len(waits) > 10
    log.info("%.1f s; %d loops of a scheduler, the longest %.3f s", took_s, len(waits), max(waits))
    assert max(waits) < LONGEST_WAIT_S


def test_a_dry_run_says_what_would_go_and_deletes_nothing(database: Database) -> None:
    database.fill()
    before = {table: database.count(table) for table in ("dag_run", "task_instance", "log", "job", "celery_taskmeta")}
    said = database.clean(dry=True)
    assert "old: 165 runs with 330 task instances" in said
    assert "old: 111 of job" in said
    assert said.endswith("dry run: nothing was deleted\n")
    assert {table: database.count(table) for table in before} == before


def test_what_still_runs_and_the_last_runs_survive_with_their_tasks(database: Database) -> None:
    database.fill(dags=4, runs=60)
    # dag1 has not run for 200 days. run2 was started by hand, run1 by the schedule.
    database.connection.execute(
        b"""
        update dag_run set run_after = run_after - interval '200 days', end_date = end_date - interval '200 days'
            where dag_id = 'dag1';
        update dag_run set run_type = 'manual' where dag_id = 'dag1' and run_id in ('run2', 'run3');
        -- A run that began long ago and still runs, with a task that waits for its trigger.
        update dag_run set state = 'running', end_date = null where dag_id = 'dag2' and run_id = 'run60';
        insert into trigger (id, classpath, kwargs, created_date) values (1, 'x', '{}', now() - interval '200 days');
        update task_instance set state = 'deferred', trigger_id = 1, end_date = null
            where dag_id = 'dag2' and run_id = 'run60' and task_id = 'task1';
        -- A run that was marked as failed while a task of it runs.
        update dag_run set state = 'failed' where dag_id = 'dag3' and run_id = 'run60';
        update task_instance set state = 'running' where dag_id = 'dag3' and run_id = 'run60' and task_id = 'task2';
        -- A DAG whose file is gone.
        update dag set is_stale = true, last_parsed_time = now() - interval '200 days' where dag_id = 'dag4';
        update dag_run set end_date = end_date - interval '200 days' where dag_id = 'dag4';
        """
    )
    database.clean()
    left = {
        (d, r): n
        for d, r, n in database.connection.execute(
            b"select r.dag_id, r.run_id, count(t.id) from dag_run r left join task_instance t using (dag_id, run_id) "
            b"group by 1, 2"
        )
    }
    assert {run for run in left if run[0] == "dag1"} == {("dag1", "run1"), ("dag1", "run2")}
    assert ("dag2", "run60") in left
    assert ("dag3", "run60") in left
    assert set(left.values()) == {2}
    assert [run for run in left if run[0] == "dag4"] == []
    assert database.count("dag", "dag_id = 'dag4'") == 0
    assert database.count("dag") == 3
    assert database.count("dag_version") == 3
    assert database.count("trigger") == 1
    assert database.count("task_instance", "trigger_id = 1") == 1


def test_a_run_that_is_being_cleared_is_left_for_the_next_time(database: Database) -> None:
    database.fill()
    with psycopg.connect(database.url) as other:
        other.execute("select id from dag_run where dag_id = 'dag1' and run_id = 'run100' for update")
        said = database.clean()
        assert deleted(said, "runs") == 164
        assert database.count("task_instance", "dag_id = 'dag1' and run_id = 'run100'") == 2
        other.execute(
            "update dag_run set state = 'queued', end_date = null where dag_id = 'dag1' and run_id = 'run100'"
        )
    assert deleted(database.clean(), "runs") == 0
    assert database.count("dag_run", "run_id = 'run100'") == 1


def test_only_one_process_cleans(database: Database) -> None:
    database.fill()
    with psycopg.connect(database.url) as other:
        other.execute("select pg_advisory_lock(7241650319)")
        assert database.clean(exit_code=1) == "failed: another process cleans this database\n"
    assert "clean after" in database.clean()


def test_a_table_that_fails_is_named_and_the_log_keeps_its_old_rows(database: Database) -> None:
    database.fill(logs=40_000)
    with psycopg.connect(database.url) as other:
        other.execute("lock table celery_taskmeta in share mode")
        said = database.clean(exit_code=1)
    assert "failed: celery_taskmeta: canceling statement due to lock timeout" in said
    assert deleted(said, "runs") == 165
    assert database.count("log") == 40_000


def test_a_database_that_is_away_is_said_in_one_line(database: Database) -> None:
    database.driver_url = database.driver_url.replace(f"/{database.name}", "/nowhere")
    said = database.clean(exit_code=1)
    assert len(said.splitlines()) == 1
    assert 'database "nowhere" does not exist' in said
    assert "test-password" not in said


def test_every_table_of_airflow_is_cleaned_or_stays_small(database: Database) -> None:
    schema = asked(SCHEMA, home=database.home)
    cleaned = {table.name for table in TABLES} | {"dag_run", "task_instance"}
    reached: set[str] = set()
    while reached != cleaned:
        reached = set(cleaned)
        cleaned |= {child for parent, child in schema["cascades"] if parent in reached}
    assert set(schema["tables"]) - reached - SMALL == set()
    assert set(schema["cleaned_by_airflow"]) - reached - SMALL == set()
    assert sorted(CALLBACKS_ENDED) == schema["callbacks_ended"]
