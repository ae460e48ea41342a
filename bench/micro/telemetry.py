"""Measures what Airflow's metrics cost a task: `python -m bench.micro.telemetry`.

Tasks send no metrics; the webserver counts their ends. So the processor time of counting an end, with Airflow's real
statistics and a receiver that is away, is compared with all that a task's start and end cost the real webserver without
metrics. Exits with 1 above the limit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from rich.console import Console

from bench.micro.execution_api.measure import Measuring
from bench.micro.execution_api.stage import prepared_stage
from bench.micro.page.webserver import IMAGE
from local.servers.ports import HOST, free_port
from project import paths
from project.errors import CommandError
from telemetry import settings

TURNS = 3
MOST_SHARE = 0.02
ENDS = 20_000
# Counts the ends of tasks of 100 DAGs, as the webserver does; then sends what there is. Prints both in milliseconds.
PROGRAM = f"""
import json, sys, time
from collections import namedtuple
from datetime import UTC, datetime, timedelta
import airflow.settings
from airflow._shared.observability.metrics import stats
from airflow.observability.metrics import stats_utils
from opentelemetry.sdk.metrics import MeterProvider
from telemetry.tasks import count
import gc

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
Row = namedtuple("Row", "start_date queued_dttm operator queue stats_tags")
now = datetime.now(UTC)
start, queued = now - timedelta(seconds=5), now - timedelta(seconds=7)
ids = [{{"dag_id": f"d{{n % 100}}", "task_id": f"t{{n}}"}} for n in range(500)]
rows = [Row(start, queued, "PythonOperator", "default", each) for each in ids]
def counted():
    began = time.thread_time()
    for number in range({ENDS}):
        count(stats, rows[number % 500], state="success" if number % 10 else "failed", now=now)
    return (time.thread_time() - began) / {ENDS} * 1000
counted()
each = min(counted() for _ in range(3))
reader = next(found for found in gc.get_objects() if isinstance(found, MeterProvider))
began = time.process_time()
reader.force_flush(1)
print("RESULT", json.dumps([each, (time.process_time() - began) * 1000]))
"""


def counting(choice: str) -> tuple[float, float]:
    """Return the processor milliseconds of counting an end, and of a request with all that was counted."""
    given = {
        settings.CHOICE: choice,
        settings.METRICS_URL: f"http://{HOST}:{free_port()}/v1/metrics",
        settings.TRACES_URL: f"http://{HOST}/v1/traces",
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONFIG": str(IMAGE / "airflow.cfg"),
            "FLEET_ROLE": "webserver",
            "AWS_REGION": "eu-central-1",
            **settings.settings(given),
        }
        argv = [str(paths.AIRFLOW_ENVIRONMENT / "bin" / "python"), "-c", PROGRAM]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"counting failed: {done.stderr[-500:]}")
    each_ms, sending_ms = json.loads(done.stdout.rpartition("RESULT")[2].splitlines()[0])
    return each_ms, sending_ms


def main() -> int:
    """Print the figures."""
    console = Console()
    try:
        with prepared_stage() as stage, stage.webserver(1) as without:
            measured = Measuring(stage, *without)
            measured.cycle_ms()  # what is done for the first time
            # Others on this machine only add to it.
            cycle_ms = min(measured.cycle_ms() for _ in range(TURNS))
        found = {choice: counting(choice) for choice in ("default", "all")}
    except CommandError as error:
        console.print(f"bench: {error}", style="red")
        return 2
    console.print(f"A task's start and end cost the webserver {cycle_ms:.1f} ms of a processor.")
    for choice, (each_ms, sending_ms) in found.items():
        console.print(
            f"With {choice}, counting an end costs {each_ms:.3f} ms, {each_ms / cycle_ms:.2%} of that (at most "
            f"{MOST_SHARE:.0%}), and a request each minute {sending_ms:.0f} ms."
        )
    return 0 if all(each_ms <= MOST_SHARE * cycle_ms for each_ms, _ in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
