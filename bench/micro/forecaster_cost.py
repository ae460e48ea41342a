"""Measures the cost of the forecaster with a database of a million task instances.

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
TICK_EVERY_S = 60

# Hourly runs with a fan-out: one task, after 20 s all others at once, for up to half a minute.
RUNS = """
insert into dag_run (dag_id, run_id, run_type, state, run_after)
select 'dag' || dag, 'run' || run, 'scheduled', 'success', timestamptz '2026-02-01' + run * interval '1 hour'
from generate_series(0, %(dags)s - 1) as dag, generate_series(1, %(runs)s) as run
"""
TASKS = """
insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots, queue, state,
                           queued_dttm, start_date, end_date)
select gen_random_uuid(), dag_id, run_id, 'task' || task, -1, 1, 'default_pool', 1, 'default', 'success',
       run_after + least(task, 1) * interval '20 s', run_after + least(task, 1) * interval '20 s' + interval '1 s',
       run_after + least(task, 1) * interval '20 s' + (10 + task) * interval '1 s'
from dag_run, generate_series(0, %(tasks)s - 1) as task
"""
DUE_SOON = """
update dag set is_paused = false, next_dagrun = later.at, next_dagrun_create_after = later.at,
               next_dagrun_data_interval_start = later.at, next_dagrun_data_interval_end = later.at
from (select date_bin('5 min', now(), '2026-01-01') + interval '5 min' as at) as later
"""


def measure(rows: int) -> list[dict[str, float]]:
    """Return for each of TICKS ticks: wall_s and cpu_s of the process, and memory_mib, its peak so far."""
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
                if not Registry(client).forecast("worker"):
                    raise RuntimeError("no forecast was written: the figures would be those of an idle forecaster")
            return ticks
        finally:
            redis.stop()
            postgres.remove()


def _measure(variables: dict[str, str], url: str, *, runs: int) -> list[dict[str, float]]:
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
        connection.execute("vacuum analyze dag_run, task_instance")
        connection.execute(DUE_SOON)
        ticks = [ask(program, tick=True) for _ in range(TICKS)]
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
    for number, tick in enumerate(measure(rows), start=1):
        share = 100 * tick["cpu_s"] / TICK_EVERY_S
        print(
            f"tick {number}, {DUE} due DAGs, {rows:,} task instances: {tick['wall_s']:.2f} s, "
            f"{tick['cpu_s']:.2f} s of them in this process ({share:.1f} % of a processor, once a minute), "
            f"{tick['memory_mib']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
