"""Measures the cost of the forecaster, and of its report on Airflow's work, with a million task instances.

`python -m bench.micro.forecaster_cost` takes some minutes, mostly to fill the database. It is not part of `make
bench`.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from fleet.registry import Registry
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from project import paths
from project.paths import AIRFLOW_ENVIRONMENT, ROOT

PROGRAM = ROOT / "tests" / "support" / "airflow_forecaster.py"
USER, PASSWORD, DATABASE = "airflow", "airflow", "airflow"
TASKS_A_RUN = 20
DAGS = 900  # with a history
DUE = 255  # DAGs among them that are due
TICKS = 4  # the first one reads the timetables
FORECAST, REPORT = "tick", "work"
EVERY_S = {FORECAST: 60, REPORT: 20}

# Hourly runs with a fan-out: one task, after 20 s all others at once, for up to half a minute.
RUNS = """
insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, end_date)
select 'dag' || dag, 'run' || run, 'scheduled', case when (dag + run) %% 33 = 0 then 'failed' else 'success' end,
       at, at, at + interval '5 minutes'
from generate_series(0, %(dags)s - 1) as dag, generate_series(1, %(runs)s) as run,
     lateral (select now() - (%(runs)s - run) * interval '1 hour' - interval '10 minutes' as at) as due
"""
TASKS = """
insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots, queue, state,
                           queued_dttm, start_date, end_date)
select gen_random_uuid(), dag_id, run_id, 'task' || task, -1, 1, 'default_pool', 1, 'default',
       case when state = 'failed' and task = 1 then 'failed' else 'success' end,
       run_after + least(task, 1) * interval '20 s', run_after + least(task, 1) * interval '20 s' + interval '1 s',
       run_after + least(task, 1) * interval '20 s' + (10 + task) * interval '1 s'
from dag_run, generate_series(0, %(tasks)s - 1) as task
"""
# The audit log has two entries for each try of a task.
LOG = """
insert into log (dttm, dag_id, run_id, task_id, map_index, event)
select at, dag_id, run_id, task_id, map_index, event
from task_instance, lateral (values (start_date, 'running'), (end_date, state)) as entry (at, event)
where start_date > now() - interval '2 days'
"""
DUE_SOON = """
update dag set is_paused = false, next_dagrun = later.at, next_dagrun_create_after = later.at,
               next_dagrun_data_interval_start = later.at, next_dagrun_data_interval_end = later.at
from (select date_bin('5 min', now(), '2026-01-01') + interval '5 min' as at) as later
"""


def measure(rows: int) -> dict[str, list[dict[str, float]]]:
    """Return for each of TICKS ticks, and reports, wall_s and cpu_s of the process, and memory_mib, its peak so far."""
    with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
        postgres, redis = Postgres(Path(folder, "postgres")).start(), Redis(Path(folder, "redis")).start()
        try:
            postgres.provision(USER, PASSWORD, DATABASE)
            place = f"{USER}:{PASSWORD}@{postgres.host}:{postgres.port}/{DATABASE}"
            variables = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": paths.IMAGE_PYTHONPATH,
                "AIRFLOW_HOME": folder,
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
                "AIRFLOW__CELERY__BROKER_URL": f"redis://{redis.host}:{redis.port}/0",
                "FLEET_POOL_OF_QUEUE": '{"default":"worker"}',
                "FORECAST_MINUTES": "15",
                "FORECAST_RUNS": "10",
                "FORECAST_WINDOW_S": "30",
            }
            ticks = _measure(variables, f"postgresql://{place}", runs=-(-rows // (DAGS * TASKS_A_RUN)))
            with redis.client() as client:
                report = Registry(client).work()
                if not Registry(client).forecast("worker") or report is None or not report.task_failures:
                    raise RuntimeError("no forecast or report was written: the figures would be those of an idle one")
            return ticks
        finally:
            redis.stop()
            postgres.remove()


def _measure(variables: dict[str, str], url: str, *, runs: int) -> dict[str, list[dict[str, float]]]:
    with (
        subprocess.Popen(
            [AIRFLOW_ENVIRONMENT / "bin" / "python", PROGRAM],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as program,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        ask(program, migrate=True)
        for number in range(DUE):
            ask(program, dags={f"dag{number}": {"schedule": "*/5 * * * *", "end": None, "tasks": TASKS_A_RUN}})
        connection.execute(RUNS, {"dags": DAGS, "runs": runs})
        connection.execute(TASKS, {"tasks": TASKS_A_RUN})
        connection.execute(LOG)
        connection.execute("vacuum analyze dag_run, task_instance, log")
        connection.execute(DUE_SOON)
        ticks = {name: [ask(program, **{name: True}) for _ in range(TICKS)] for name in (FORECAST, REPORT)}
        program.kill()
    return ticks


def ask(program: subprocess.Popen[str], **command: Any) -> Any:
    """Send one command to the program and return its answer."""
    if program.stdin is None or program.stdout is None:
        raise ValueError("the program needs pipes for its commands and answers")
    program.stdin.write(json.dumps(command) + "\n")
    program.stdin.flush()
    return json.loads(program.stdout.readline())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each tick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="task instances")
    rows = parser.parse_args(arguments).rows
    for name, ticks in measure(rows).items():
        for number, tick in enumerate(ticks, start=1):
            share = 100 * tick["cpu_s"] / EVERY_S[name]
            print(
                f"{name} {number}, {DUE} due DAGs, {rows:,} task instances: {tick['wall_s']:.3f} s, "
                f"{tick['cpu_s']:.3f} s of them in this process "
                f"({share:.1f} % of a processor, each {EVERY_S[name]} s), "
                f"{tick['memory_mib']:.0f} MiB"
            )


if __name__ == "__main__":
    main()
