"""Measures the cost of the forecaster, and of its report on Airflow's work, with a million task instances.

`python -m bench.micro.forecaster_cost` takes some minutes, mostly to fill the database. It is not part of `make
bench`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from bench.micro.machine import family_cpu_s
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
REPORTS = 50  # the kernel counts processor time in hundredths of a second
FORECAST, REPORT = "tick", "work"
EVERY_S = {FORECAST: 60, REPORT: 20}
# Of a report: of the processor time of both sides, since elapsed time is that of a machine with nothing else to do.
MOST_REPORT_MS = 50.0

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
# The report counts failures of the last quarter of an hour, and filling the database may take longer.
RECENT = """
update log set dttm = now() where id in (select id from log where event = 'failed' order by dttm desc limit 5)
"""
DUE_SOON = """
update dag set is_paused = false, next_dagrun = later.at, next_dagrun_create_after = later.at,
               next_dagrun_data_interval_start = later.at, next_dagrun_data_interval_end = later.at
from (select date_bin('5 min', now(), '2026-01-01') + interval '5 min' as at) as later
"""


def measure(rows: int) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each tick, and of each report: wall_s and cpu_s of the process, and memory_mib, its peak.

    `database_cpu_s`: what the database took meanwhile, the same mean for each of a kind.
    """
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
            server = postgres.pid
            if server is None:
                raise RuntimeError("Postgres has ended")
            ticks = _measure(variables, f"postgresql://{place}", server=server, runs=-(-rows // (DAGS * TASKS_A_RUN)))
            with redis.client() as client:
                report = Registry(client).work()
                if not Registry(client).forecast("worker") or report is None or not report.task_failures:
                    raise RuntimeError("no forecast or report was written: the figures would be those of an idle one")
            return ticks
        finally:
            redis.stop()
            postgres.remove()


def _measure(variables: dict[str, str], url: str, *, server: int, runs: int) -> dict[str, list[dict[str, float]]]:
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
        ticks = {}
        for name, count in ((FORECAST, TICKS), (REPORT, REPORTS)):
            connection.execute(RECENT)
            before = family_cpu_s(server)
            own = [ask(program, **{name: True}) for _ in range(count)]
            taken_s = (family_cpu_s(server) - before) / count
            ticks[name] = [{**each, "database_cpu_s": taken_s} for each in own]
        program.kill()
    return ticks


def ask(program: subprocess.Popen[str], **command: Any) -> Any:
    """Send one command to the program and return its answer."""
    if program.stdin is None or program.stdout is None:
        raise ValueError("the program needs pipes for its commands and answers")
    program.stdin.write(json.dumps(command) + "\n")
    program.stdin.flush()
    return json.loads(program.stdout.readline())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each tick, and for the reports; return 1 if a report takes more than its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="task instances")
    rows = parser.parse_args(arguments).rows
    found = measure(rows)
    for number, tick in enumerate(found[FORECAST], start=1):
        share = 100 * tick["cpu_s"] / EVERY_S[FORECAST]
        print(
            f"{FORECAST} {number}, {DUE} due DAGs, {rows:,} task instances: {tick['wall_s']:.3f} s, "
            f"{tick['cpu_s']:.3f} s of them in this process "
            f"({share:.1f} % of a processor, each {EVERY_S[FORECAST]} s), "
            f"{tick['memory_mib']:.0f} MiB"
        )
    reports = found[REPORT]
    wall, own = (1000 * statistics.median(each[name] for each in reports) for name in ("wall_s", "cpu_s"))
    database = 1000 * reports[0]["database_cpu_s"]
    print(
        f"a report on the work, {DUE} due DAGs, {rows:,} task instances, of {len(reports)}: a median of {wall:.0f} ms, "
        f"at least {1000 * min(each['wall_s'] for each in reports):.0f} ms; processor {own:.0f} ms here and "
        f"{database:.0f} ms in the database; limit {MOST_REPORT_MS:.0f} ms of both"
    )
    return int(own + database > MOST_REPORT_MS)


if __name__ == "__main__":
    sys.exit(main())
