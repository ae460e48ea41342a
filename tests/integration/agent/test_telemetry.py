"""Airflow's real statistics and spans, with OpenTelemetry's exporters, to receivers that answer, hang and refuse."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.alarms.evaluate import ALARM, OK
from local.servers.ports import HOST, free_port
from project import paths
from telemetry import names
from tests.support.airflows_python import AIRFLOWS_PYTHON, IMAGE, asked, needs_airflow
from tests.support.log_alarms import state_after
from tests.support.otlp_server import otlp_server

pytestmark = needs_airflow

SENDING = {
    "FLEET_ROLE": "scheduler",
    "FLEET_METRICS": names.DEFAULT,
    "FLEET_TRACED_SHARE": "1.0",
    "AIRFLOW__METRICS__OTEL_ON": "True",
    "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
    "AIRFLOW__METRICS__METRICS_ALLOW_LIST": names.allow_list(names.DEFAULT),
    "AIRFLOW_CONFIG": str(IMAGE / "airflow.cfg"),
}
BEGIN = """
from airflow.configuration import conf
from airflow import settings
from airflow._shared.observability.metrics import stats
from airflow.observability.metrics import stats_utils
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
"""
# Ten minutes in a thousandth: an export each 60 ms, of which each attempt may take 10 ms, while a burst of tasks ends.
OUTAGE = """
import os, time
import airflow.settings
from telemetry import names
from telemetry.delivery import METRICS, Delivery
from telemetry.stats import make_stats

TASKS, FOR_S = 5000, 0.6

def rss_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def outage(url):
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    lines = []
    stats = make_stats(
        "default", delivery=Delivery(METRICS, signer=None, write=lines.append),
        allow_list=names.allow_list("default"), block_list=None, environment=os.environ, timeout_s=0.01,
    )
    before, began = rss_mib(), time.thread_time()
    ends = time.monotonic() + FOR_S
    for number in range(TASKS):
        stats.incr("ti.finish", tags={"dag_id": f"d{number}", "state": "success"})
        stats.timing("task.duration", number, tags={"task_id": f"t{number}"})
    took = time.thread_time() - began
    time.sleep(max(0, ends - time.monotonic()))
    return {"lines": lines[:], "grown_mib": rss_mib() - before, "us_a_task": took / TASKS * 1e6}

found = [outage(url) for url in json.loads(os.environ["URLS"])]
"""


def test_a_receiver_that_is_away_slow_or_refuses_slows_no_task_and_takes_no_memory(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(otlp_server(status)) for status in (200, None, 403, 429, 500)]
        urls = [*(server.url for server in servers), f"http://{HOST}:{free_port()}"]
        found = asked(
            OUTAGE + "answer(found)",
            home=tmp_path,
            **SENDING,
            URLS=json.dumps(urls),
            OTEL_METRIC_EXPORT_INTERVAL="60",
        )
    well, *troubled = found
    assert well["lines"] == []
    whys = []
    for each in troubled:
        said = [json.loads(line) for line in each["lines"]]
        assert len(said) >= 3  # of ten exports; a busy machine makes fewer
        assert {(line["telemetry_undelivered"], line["signal"]) for line in said} == {(1, "metrics")}
        whys.append(said[-1]["why"])
        # What a task's end costs does not depend on the receiver. Processor time of the thread that counts.
        assert each["us_a_task"] < 3 * well["us_a_task"] + 100
        assert each["grown_mib"] < 8
        # As one container says it, which sends once a minute.
        lines = [(60.0 * minute, each["lines"][-1]) for minute in range(15)]
        assert state_after("AlarmTelemetryUndelivered", lines, now=900.0) == ALARM
        assert state_after("AlarmTelemetryUndelivered", lines, now=1200.0) == OK
        assert state_after("AlarmTelemetryUndelivered", lines[::5], now=900.0) == OK  # one in five fails
    assert whys[1:4] == ["403 Forbidden", "429 Too Many Requests", "500 Internal Server Error"]
    assert whys[0] in ("ReadTimeout", "ConnectTimeout", "ConnectionError")
    assert whys[4] in ("ConnectionError", "ConnectTimeout")


SPANS = """
import os, time
from opentelemetry.trace import get_tracer
from telemetry import traces
from telemetry.delivery import TRACES, Delivery

lines = []
traces.install(1.0, delivery=Delivery(TRACES, signer=None, write=lines.append), environment=os.environ, timeout_s=0.2)
tracer = get_tracer("test")
for number in range(2 * traces.MOST_WAITING):
    tracer.start_span(f"s{number}").end()
until = time.monotonic() + 20
while sum(json.loads(line)["telemetry_undelivered"] for line in lines) < 2 * traces.MOST_WAITING:
    if time.monotonic() > until:
        break
    time.sleep(0.05)
answer([json.loads(line)["telemetry_undelivered"] for line in lines])
"""


def test_spans_that_find_no_room_and_spans_that_are_not_delivered_are_all_counted(tmp_path: Path) -> None:
    with otlp_server(503) as server:
        lost = asked(SPANS, home=tmp_path, FLEET_ROLE="scheduler", OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert sum(lost) == 2 * 2048


ENDS = (
    BEGIN
    + """
import time
stats.incr("ti.finish", tags={"state": "success"})
from opentelemetry.trace import get_tracer
get_tracer("test").start_span("s").end()
sys.stdout.write(f"ended {time.time()}\\n")
sys.stdout.flush()
"""
)


ENDS_WITHIN_S = 12.0


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(tmp_path),
        **SENDING,
        **more,
    }


@pytest.mark.parametrize("status", [None, 200], ids=["hangs", "answers"])
def test_a_process_sends_what_it_has_at_its_end_and_does_not_wait_for_a_receiver_that_hangs(
    tmp_path: Path, status: int | None
) -> None:
    with otlp_server(status) as server:
        given = environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
        program = "import sys\n" + ENDS
        ended = subprocess.run([AIRFLOWS_PYTHON, "-c", program], env=given, capture_output=True, text=True, check=True)
        took = time.time() - float(ended.stdout.rpartition("ended ")[2].split()[0])
        assert took < ENDS_WITHIN_S  # two seconds for metrics and two for traces at most; the machine may be busy
        assert sorted(set(server.paths)) == ["/v1/metrics", "/v1/traces"]


FORKED = (
    BEGIN
    + """
import os
stats.incr("ti.finish", tags={"state": "success"})
read, write = os.pipe()
if os.fork() == 0:
    import threading
    stats.incr("ti.finish", tags={"state": "failed"})
    os.write(write, json.dumps([type(stats._get_backend()).__name__, threading.active_count()]).encode())
    os._exit(0)
os.wait()
in_fork = json.loads(os.read(read, 1000))
from airflow.sdk.observability.metrics import stats_utils as of_tasks
answer([in_fork, of_tasks.get_stats_factory()().__class__.__name__, type(stats._get_backend()).__name__])
"""
)


def test_a_forked_process_sends_nothing_and_has_no_thread_for_it(tmp_path: Path) -> None:
    with otlp_server() as server:
        # Spans are sent by the triggerer's forked process, too, so that has a thread for them.
        given = {**SENDING, "FLEET_TRACED_SHARE": "0"}
        found = asked(FORKED, home=tmp_path, **given, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert found == [["NoStatsLogger", 1], "NoStatsLogger", "BoundedStats"]


# Forks a process, as the triggerer does for its triggers, from one that sends since before it knew of thread pools.
FORKED_EARLY = """
import os, select, signal, sys
from opentelemetry.sdk import metrics as _, trace as _
for name in [name for name in sys.modules if name.startswith("concurrent.futures")]:
    del sys.modules[name]
import telemetry.install, telemetry.traces
from airflow._shared.observability.metrics import stats
from airflow.observability.metrics import stats_utils
telemetry.install.install(os.environ)
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
stats.incr("ti.finish", tags={"state": "success"})
import concurrent.futures.thread  # its lock is held while a process forks, and free in it after the handlers of others
read, write = os.pipe()
if (pid := os.fork()) == 0:
    os.write(write, b"forked")
    os._exit(0)
is_there = bool(select.select([read], [], [], 10)[0])
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
answer(is_there)
"""


def test_a_process_can_be_forked_whatever_was_imported_first(tmp_path: Path) -> None:
    """OpenTelemetry's handler of forks starts threads in the forked process to find out who it is: a deadlock."""
    with otlp_server() as server:
        given = {**SENDING, "FLEET_ROLE": "triggerer", "OTEL_EXPORTER_OTLP_ENDPOINT": server.url}
        assert asked(FORKED_EARLY, home=tmp_path, **given)


DOCUMENTED = (
    BEGIN
    + """
from airflow._shared.observability.metrics.metrics_registry import MetricsRegistry
from telemetry.names import ALL_LABELS, DEFAULT_SET
from airflow.api_fastapi.execution_api.routes import task_instances
import inspect
registry = MetricsRegistry()
unknown = [name for name in DEFAULT_SET if registry.get(name) is None]
calls = inspect.signature(task_instances._emit_task_span).parameters
answer([unknown, list(calls)])
"""
)


def test_every_name_of_the_default_set_is_documented_by_this_airflow(tmp_path: Path) -> None:
    unknown, parameters = asked(DOCUMENTED, home=tmp_path, **SENDING, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert unknown == []
    assert parameters == ["ti", "state"]  # what telemetry.tasks stands in for


def test_headers_of_the_receiver_are_sent_and_nothing_is_signed(tmp_path: Path) -> None:
    from telemetry.settings import receiver

    with otlp_server() as server:
        secret: dict[str, Any] = {"endpoint": server.url, "headers": {"api-key": "a,b=c d%"}}
        given = environment(tmp_path, **receiver({"OTLP_RECEIVER": json.dumps(secret)}))
        subprocess.run([AIRFLOWS_PYTHON, "-c", "import sys\n" + ENDS], env=given, capture_output=True, check=True)
    for sent in server.headers:
        assert sent["api-key"] == "a,b=c d%"
        assert "Authorization" not in sent
