"""Measures what a story of a task costs at 500 members and a million task instances; exits with 1 above a limit.

`python -m bench.micro.why [--json]` takes some minutes, mostly to fill the database. It is not part of `make bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import redis

from bench.micro.page import sample_fleet
from bench.micro.page.measure import measure_endpoint
from bench.micro.page.webserver import PYTHON, Webserver, environment, running_webserver
from fleet.registry import Registry
from local.servers.postgres import Postgres
from local.servers.redis import Redis

MEMBERS = 500
MOST_MEDIAN_MS = 50.0
DAGS, TASKS_A_RUN = 100, 20
RUNNING, QUEUED = 8_000, 2_000  # of all, and of the queue `default`
READER = "viewer"
FIGURES = ("median_ms", "p95_ms", "processor_ms")
USER, PASSWORD, DATABASE = "airflow", "airflow", "airflow"

# A real DAG of 20 tasks, of which the stories are told.
STORE = """
import sys
from airflow import settings
from airflow._shared.timezones import timezone
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session

with DAG("told", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
    first = EmptyOperator(task_id="task0")
    first >> [EmptyOperator(task_id=f"task{number}") for number in range(1, TASKS)]
dag.fileloc = settings.__file__
with create_session() as session:
    session.add(DagBundleModel(name="told"))
    session.flush()
    written = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("told", None, [written], session=session)
    session.flush()
    SerializedDagModel.write_dag(written, bundle_name="told", session=session)
"""
PAST = """
insert into dag (dag_id, bundle_name, is_paused, is_stale, max_active_tasks, max_consecutive_failed_dag_runs,
    has_task_concurrency_limits, has_import_errors, last_parsed_time, fileloc, timetable_type, partition_mapper_info)
select 'dag' || d, 'told', false, false, 16, 0, false, false, now(), '/dags/a.py', 'cron', '{}'
from generate_series(1, %(dags)s) d;
insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, queued_at, start_date, end_date,
    log_template_id, clear_number, triggered_by, updated_at)
select 'dag' || d, 'run' || r, 'scheduled', 'success', at, at, at, at, at, 1, 0, 'TIMETABLE', at
from generate_series(1, %(dags)s) d, generate_series(1, %(runs)s) r,
    lateral (select now() - interval '1 hour' * r as at) t;
insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, max_tries, pool, pool_slots, queue,
    priority_weight, state, queued_dttm, start_date, end_date, updated_at)
select gen_random_uuid(), dag_id, run_id, 'task' || t, -1, 1, 0, 'default_pool', 1, 'default', 1,
    'success', start_date, start_date, end_date, end_date
from dag_run, generate_series(0, %(tasks)s - 1) t;
insert into log (dttm, dag_id, task_id, run_id, map_index, try_number, event, owner)
select end_date, dag_id, task_id, run_id, -1, 1, 'success', 'airflow' from task_instance;
"""
PRESENT = """
update task_instance set state = 'running', end_date = null, last_heartbeat_at = now(), start_date = now()
where id in (select id from task_instance order by id limit %(running)s);
update task_instance set state = 'queued', end_date = null, start_date = null, queued_dttm = now()
where id in (select id from task_instance where state = 'success' order by id limit %(queued)s);
update dag set is_paused = false;
update slot_pool set slots = %(running)s where pool = 'default_pool';
insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, queued_at, start_date,
    last_scheduling_decision, log_template_id, clear_number, triggered_by, updated_at)
select 'told', 'now', 'manual', 'running', now(), now(), now(), now(), now(), 1, 0, 'TEST', now();
insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, max_tries, pool, pool_slots, queue,
    priority_weight, state, queued_dttm, start_date, end_date, last_heartbeat_at, updated_at, hostname)
select gen_random_uuid(), 'told', 'now', 'task' || t, -1, 1, 0, 'default_pool', 1, 'default', 1,
    (array['running', null, 'scheduled', 'queued', 'failed'])[1 + least(t, 4)], now(),
    case when t in (0, 4) then now() end, case when t = 4 then now() end, now(), now(), '10.0.0.1'
from generate_series(0, %(tasks)s - 1) t;
vacuum analyze dag_run, task_instance, log;
"""
# What the stories are about, by the task.
STORIES = {"task0": "running", "task1": "upstream", "task2": "pool_full", "task3": "pool_at_maximum", "task4": "own"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A running webserver with its servers."""

    webserver: Webserver
    database: str
    store: redis.Redis


def measure(rows: int) -> dict[str, dict[str, float]]:
    """Return the figures of each story's answer (see bench.micro.page.measure), by its cause."""
    found = {}
    with _a_place() as place:
        _fill(place, rows)
        with sample_fleet.kept_alive(place.store):
            for task, cause in STORIES.items():
                found[cause] = _measure(place.webserver, task, cause)
    return found


def _measure(webserver: Webserver, task: str, cause: str) -> dict[str, float]:
    path = f"why/told/now/{task}"
    told = webserver.get(f"/fleet/api/{path}", user=READER).raise_for_status().json()
    if told["cause"] != cause:
        raise RuntimeError(f"another story than the one to measure: {told['text']}")
    return measure_endpoint(webserver, path, user=READER)


@contextlib.contextmanager
def _a_place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="why-") as folder, contextlib.ExitStack() as stack:
        postgres, broker = Postgres(Path(folder, "postgres")), Redis(Path(folder, "redis")).start()
        stack.callback(broker.stop)
        stack.callback(postgres.remove)
        postgres.start()
        postgres.provision(USER, PASSWORD, DATABASE)
        at = f"{USER}:{PASSWORD}@{postgres.host}:{postgres.port}/{DATABASE}"
        settings = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{at}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{at}",
        }
        home = Path(folder, "airflow")
        home.mkdir()
        url = f"redis://{broker.host}:{broker.port}/0"
        webserver = stack.enter_context(running_webserver(home=home, broker_url=url, settings=settings))
        program = STORE.replace("TASKS", str(TASKS_A_RUN))
        variables = environment(home=home, broker_url=url) | settings
        subprocess.run([PYTHON, "-c", program], env=variables, check=True, capture_output=True)
        with broker.client() as store:
            yield Place(webserver=webserver, database=f"postgresql://{at}", store=store)


def _fill(place: Place, rows: int) -> None:
    """Write the past, what is at work now, and a pool that has its maximum of workers, all of them busy."""
    given = {"dags": DAGS, "runs": -(-rows // (DAGS * TASKS_A_RUN)), "tasks": TASKS_A_RUN}
    with psycopg.connect(place.database, autocommit=True) as connection:
        for statement in (PAST % given + PRESENT % {**given, "running": RUNNING, "queued": QUEUED}).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    registry = Registry(place.store)
    now = registry.now()
    others = sample_fleet.airflow_members(now=now)
    busy = [
        replace(sample_fleet.a_member(number, now=now, active=16), host=f"10.0.{number >> 8}.{number & 255}")
        for number in range(1, MEMBERS - len(others) + 1)
    ]
    sample_fleet.report(place.store, [*others, *busy])
    sample_fleet.decide(
        registry,
        "worker",
        t=now,
        was=MEMBERS,
        desired=MEMBERS,
        queued=QUEUED,
        active=RUNNING,
        consuming=MEMBERS,
        draining=0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; return 1 if a median is above the limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro.why", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="task instances")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    found = measure(options.rows)
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"Stories with {MEMBERS} members, {options.rows:,} task instances: median, 95th percentile, processor time"
        )
        for cause, figures in found.items():
            print(f"  {cause:16} {' '.join(f'{figures[name]:6.1f} ms' for name in FIGURES)}")
    return int(any(figures["median_ms"] > MOST_MEDIAN_MS for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
