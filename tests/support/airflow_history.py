"""A database with Airflow's own schema and a history that SQL makes: as many runs and tasks as a test wants."""

import uuid
from pathlib import Path

import psycopg

from tests.support.airflows_python import asked
from tests.support.servers import PostgresServer

MIGRATE = """
from airflow.utils.db import initdb
initdb()
answer(None)
"""
# Rows of the other tables stand in for what Airflow makes of real runs.
HISTORY = """
    insert into dag_bundle (name) values ('dags');
    insert into dag (dag_id, bundle_name, is_paused, is_stale, max_active_tasks, max_consecutive_failed_dag_runs,
        has_task_concurrency_limits, has_import_errors, last_parsed_time, fileloc, timetable_type,
        partition_mapper_info)
    select 'dag' || d, 'dags', false, false, 16, 0, false, false, now(), '/dags/a.py', 'cron', '{}'
    from generate_series(1, %(dags)s) d;
    insert into dag_version (id, version_number, dag_id, bundle_name, created_at, last_updated)
    select gen_random_uuid(), 1, dag_id, 'dags', now() - interval '400 days', now() - interval '400 days' from dag;
    insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, queued_at, start_date, end_date,
        created_dag_version_id, log_template_id, clear_number, triggered_by, updated_at)
    select 'dag' || d, 'run' || r, 'scheduled', 'success', at, at, at, at, at + interval '5 minutes',
        v.id, 1, 0, 'TIMETABLE', at
    from generate_series(1, %(dags)s) d, generate_series(1, %(runs)s) r,
        lateral (select now() - interval '2 days' * (r - 0.5) as at) t,
        lateral (select id from dag_version where dag_id = 'dag' || d) v;
    insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, max_tries, pool, pool_slots, queue,
        state, queued_dttm, start_date, end_date, updated_at, dag_version_id)
    select gen_random_uuid(), dag_id, run_id, 'task' || t, -1, 1, 0, 'default_pool', 1, 'default',
        'success', start_date, start_date, end_date, end_date, created_dag_version_id
    from dag_run, generate_series(1, %(tasks)s) t;
    insert into xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)
    select r.id, 'task1', -1, 'return_value', r.dag_id, r.run_id, '"value"', r.end_date from dag_run r;
    insert into log (dttm, dag_id, task_id, event, owner)
    select now() - interval '1 minute' * l * 6, 'dag1', 'task1', 'success', 'airflow'
    from generate_series(1, %(logs)s) l;
    insert into job (job_type, state, latest_heartbeat, start_date, end_date)
    select 'SchedulerJob', 'success', now() - interval '1 day' * j, now() - interval '1 day' * j, now()
    from generate_series(1, 200) j;
    create table celery_taskmeta (id integer primary key, date_done timestamp);
    insert into celery_taskmeta select t, now() - interval '1 hour' * t from generate_series(1, 4000) t;
    analyze;
"""


class AirflowDatabase:
    """A database of its own in the server, empty or a copy. `driver_url` is for Airflow, `url` for psycopg."""

    def __init__(self, server: PostgresServer, home: Path, *, copy_of: str | None = None) -> None:
        self.name = f"history{uuid.uuid4().hex[:8]}"
        self.server, self.home = server, home
        if copy_of is not None:
            with server.server.superuser() as connection:
                connection.execute(f"create database {self.name} template {copy_of} owner {server.user}".encode())
        server.server.provision(server.user, server.password, self.name)
        at = f"{server.user}:{server.password}@{server.host}:{server.port}/{self.name}"
        self.url, self.driver_url = f"postgresql://{at}", f"postgresql+psycopg2://{at}"
        self.connection = psycopg.connect(self.url, autocommit=True)

    def migrate(self, **settings: str) -> None:
        """Make Airflow's schema as `airflow db migrate` does; it takes a quarter of a minute."""
        asked(MIGRATE, home=self.home, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=self.driver_url, **settings)

    def remove(self) -> None:
        """Drop it, also from those who are connected."""
        self.connection.close()
        with self.server.server.superuser() as connection:
            connection.execute(f"drop database {self.name} with (force)".encode())

    def fill(self, *, dags: int = 3, runs: int = 100, tasks: int = 2, logs: int = 100) -> None:
        """Give each DAG a run each second day, the last one a day ago."""
        given = {"dags": dags, "runs": runs, "tasks": tasks, "logs": logs}
        self.connection.execute((HISTORY % given).encode())

    def number(self, statement: str) -> int:
        ((found,),) = self.connection.execute(statement.encode()).fetchall()
        return int(found)

    def count(self, table: str, where: str = "true") -> int:
        return self.number(f"select count(*) from {table} where {where}")  # noqa: S608 - of the test's own words
