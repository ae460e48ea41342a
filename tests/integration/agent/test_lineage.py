"""Lineage of real tasks, from Airflow's own provider through the worker's sender to a receiver over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.lineage import folder
from agent.lineage.process import Beside
from agent.lineage.sender import AT_THE_END, NO_DOCUMENT, NOT_WHOLE, TOO_MANY, Connection, Sender
from agent.lineage.settings import NAMESPACE, RECEIVER, Receiver, sender_settings, task_settings
from local.alarms.evaluate import ALARM, OK
from local.servers.ports import HOST, free_port
from project import paths
from tests.support.airflow_runner import AirflowRunner
from tests.support.airflows_python import IMAGE, asked, needs_airflow
from tests.support.log_alarms import state_after
from tests.support.otlp_server import Receiver as Served
from tests.support.otlp_server import otlp_server
from tests.support.waiting import eventually

ENVIRONMENT = "airflow-dev"
KEY = "Bearer a-key-of-the-test"
EXAMPLE = (paths.ROOT / "examples" / "lineage.py").read_text()
# Without a schema of the facets, which are open by their own definition.
VALID = """
import os
from openlineage.client.run import RunEvent
from openlineage.client import event_v2
from openlineage.client.serde import Serde

found = []
for each in json.loads(os.environ["DOCUMENTS"]):
    made = event_v2.RunEvent(
        eventType=event_v2.RunState[each["eventType"]],
        eventTime=each["eventTime"],
        run=event_v2.Run(runId=each["run"]["runId"]),
        job=event_v2.Job(namespace=each["job"]["namespace"], name=each["job"]["name"]),
        producer=each["producer"],
    )
    found.append([json.loads(Serde.to_json(made))["schemaURL"], sorted(each.keys())])
answer(found)
"""


def document(name: str = "dag.task", *, namespace: str = ENVIRONMENT, size: int = 0) -> bytes:
    job = {"namespace": namespace, "name": name}
    return json.dumps({"eventType": "START", "run": {"runId": "r"}, "job": job, "x": "x" * size}).encode()


class Site:
    """A folder, a receiver, and a sender between them that ticks on command."""

    def __init__(self, shared: Path, url: str, *, timeout_s: float = 0.3) -> None:
        self.folder = shared / folder.NAME
        self.said: list[dict[str, Any]] = []
        receiver = Receiver(url=f"{url}/api/v1/lineage", headers={"Authorization": KEY})
        connection = Connection(receiver, timeout_s=timeout_s)
        self.sender = Sender(
            self.folder, connection, namespace=ENVIRONMENT, write=lambda line: self.said.append(json.loads(line))
        )

    def tick(self, *, now: float = 0.0) -> None:
        self.sender.tick(now=now)

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def counts(self) -> list[tuple[int, str]]:
        assert {each["signal"] for each in self.said} <= {"lineage"}
        return [(each["telemetry_undelivered"], each["why"]) for each in self.said]


@pytest.fixture
def served() -> Iterator[Served]:
    with otlp_server() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, served: Served) -> Site:
    return Site(tmp_path, served.url)


def jobs(served: Served) -> list[str]:
    return [json.loads(body)["job"]["name"] for body in served.bodies]


@needs_airflow
def test_the_example_tells_which_data_it_reads_and_writes(tmp_path: Path, served: Served) -> None:
    given = {NAMESPACE: ENVIRONMENT, RECEIVER: json.dumps({"endpoint": served.url, "headers": {"Authorization": KEY}})}
    runner = AirflowRunner(
        tmp_path, dag=EXAMPLE, limit_mib=2048, in_group=False, dag_id="lineage", settings=task_settings(given)
    )
    shared = {"SHARED_FOLDER": str(tmp_path / "shared"), "PYTHONPATH": paths.IMAGE_PYTHONPATH}
    beside = Beside({"PATH": os.environ["PATH"], **shared, **given, **sender_settings(given)})
    beside.start()
    try:
        runs = [runner.start(task_id) for task_id in ("fetch", "sum_up")]
        assert all(run.join() for run in runs)
        assert [run.outcome and run.outcome.error for run in runs] == ["", ""], runner.log
        assert eventually(lambda: len(served.bodies) == 4), (runner.log, [run.log for run in runs])
    finally:
        beside.end()
        runner.close()
    documents = [json.loads(body) for body in served.bodies]
    told = {
        (each["job"]["name"], each["eventType"]): (datasets(each["inputs"]), datasets(each["outputs"]))
        for each in documents
    }
    orders, sales = ("s3://shop-data", "orders.csv"), ("postgres://warehouse:5432", "shop.public.sales")
    assert told == {
        ("lineage.fetch", "START"): ([], [orders]),
        ("lineage.fetch", "COMPLETE"): ([], [orders]),
        ("lineage.sum_up", "START"): ([orders], [sales]),
        ("lineage.sum_up", "COMPLETE"): ([orders], [sales]),
    }
    assert {each["job"]["namespace"] for each in documents} == {ENVIRONMENT}
    assert {each["run"]["facets"]["parent"]["job"]["name"] for each in documents} == {"lineage"}
    for name in ("lineage.fetch", "lineage.sum_up"):
        assert len({each["run"]["runId"] for each in documents if each["job"]["name"] == name}) == 1
    assert set(served.paths) == {"/api/v1/lineage"}
    assert {headers["Authorization"] for headers in served.headers} == {KEY}
    assert not [run for run in runs if "a-key-of-the-test" in run.log]
    checked = asked(VALID, home=tmp_path, DOCUMENTS=json.dumps(documents))
    needed = {"eventTime", "eventType", "inputs", "job", "outputs", "producer", "run", "schemaURL"}
    assert [set(keys) for _, keys in checked] == [needed] * 4
    assert [each["schemaURL"] for each in documents] == [url for url, _ in checked]


def datasets(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["namespace"], each["name"]) for each in found]


@needs_airflow
@pytest.mark.parametrize(("namespace", "loads"), [("", False), (ENVIRONMENT, True)])
def test_the_provider_is_imported_only_where_lineage_is_told(tmp_path: Path, namespace: str, loads: bool) -> None:
    program = """
import airflow.settings
from airflow import plugins_manager
from airflow.sdk import listener, plugins_manager as of_tasks
listener.get_listener_manager()
found = [*plugins_manager._get_plugins()[0], *of_tasks._get_plugins()[0]]
modules = [m for m in sys.modules if m.startswith(("openlineage", "airflow.providers.openlineage.plugins", "httpx2"))]
answer([len([p for p in found if p.name == "OpenLineageProviderPlugin"]), bool(modules)])
"""
    settings = {"FLEET_ROLE": "runner", "AIRFLOW_CONFIG": str(IMAGE / "airflow.cfg"), "SHARED_FOLDER": str(tmp_path)}
    found = asked(program, home=tmp_path, **settings, **task_settings({NAMESPACE: namespace}))
    assert found == [2 if loads else 0, loads]


def test_a_document_is_sent_once_oldest_first(site: Site, served: Served) -> None:
    for number in range(5):
        folder.put(site.folder, document(f"task{number}"))
    site.tick()
    assert jobs(served) == [f"task{number}" for number in range(5)]
    site.tick()
    assert len(served.bodies) == 5
    assert (site.left, site.said) == ([], [])


@pytest.mark.parametrize(
    ("status", "why"),
    [
        *((503, "503 Service Unavailable"), (429, "429 Too Many Requests"), (401, "401 Unauthorized")),
        (302, "302 Found"),
    ],
)
def test_what_the_receiver_may_take_later_waits_and_the_pauses_grow(
    site: Site, served: Served, status: int, why: str
) -> None:
    served.status = status
    folder.put(site.folder, document())
    asked_at = []
    for second in range(20):
        before = len(served.bodies)
        site.tick(now=float(second))
        asked_at += [second] * (len(served.bodies) - before)
    assert asked_at == [0, 1, 3, 7, 15]
    assert site.counts() == [(1, why)] * 5
    assert len(site.left) == 1
    served.status = 201
    site.tick(now=100.0)
    assert site.left == []


def test_the_alarm_on_what_is_not_delivered_begins_and_ends(site: Site, served: Served) -> None:
    served.status = 503
    folder.put(site.folder, document())
    lines: list[tuple[float, str]] = []
    for second in range(1_500):
        served.status = 503 if second < 900 else 200
        site.tick(now=float(second))
        lines += [(float(second), json.dumps(line)) for line in site.said]
        site.said.clear()
    assert state_after("AlarmTelemetryUndelivered", lines, now=600.0) == OK
    assert state_after("AlarmTelemetryUndelivered", lines, now=900.0) == ALARM
    assert state_after("AlarmTelemetryUndelivered", lines, now=1_500.0) == OK


def test_a_receiver_that_is_away_or_hangs_is_said_and_the_documents_wait(tmp_path: Path) -> None:
    with otlp_server(None) as hanging:
        for number, url in enumerate((hanging.url, f"http://{HOST}:{free_port()}")):
            site = Site(tmp_path / str(number), url)
            site.folder.parent.mkdir()
            folder.put(site.folder, document())
            began = time.monotonic()
            site.tick()
            assert time.monotonic() - began < 5
            assert site.counts() in ([(1, "TimeoutError")], [(1, "ConnectionRefusedError")])
            assert len(site.left) == 1


def test_a_document_that_the_receiver_will_never_take_keeps_no_other_waiting(site: Site, served: Served) -> None:
    served.status = 422
    folder.put(site.folder, document("bad"))
    site.tick()
    served.status = 200
    folder.put(site.folder, document("good"))
    site.tick()
    assert jobs(served) == ["bad", "good"]
    assert site.counts() == [(1, "422 Unprocessable Entity")]
    assert site.left == []


def test_what_a_task_puts_there_besides_is_neither_sent_nor_followed(
    site: Site, served: Served, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes(document())
    site.tick()
    (site.folder / "0-link.json").symlink_to(outside)
    os.mkfifo(site.folder / "1-pipe.json")
    (site.folder / "2-folder.json").mkdir()
    (site.folder / "2-folder.json" / "inside.json").write_bytes(document())
    (site.folder / "3-nonsense.json").write_bytes(b"{" * 10_000)
    (site.folder / "4-other.json").write_bytes(document(namespace="airflow-prd"))
    (site.folder / "5-large.json").write_bytes(document(size=folder.MOST_DOCUMENT_BYTES))
    (site.folder / "6-good.json").write_bytes(document("good"))
    site.tick()
    assert jobs(served) == ["good"]
    assert site.counts() == [(1, NO_DOCUMENT)] * 6
    assert site.left == []
    assert outside.exists()


def test_a_folder_that_is_exchanged_for_a_link_is_not_emptied(site: Site, served: Served, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "kept.json").write_bytes(document())
    site.folder.symlink_to(tmp_path / "else")
    site.tick()
    assert (tmp_path / "else" / "kept.json").exists()
    assert served.bodies == []


def test_too_many_documents_are_bounded_the_oldest_go_and_are_counted(
    site: Site, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MOST_WAITING", 3)
    served.status = 503
    for number in range(5):
        folder.put(site.folder, document(f"task{number}"))
    site.tick()
    assert site.counts() == [(2, TOO_MANY), (1, "503 Service Unavailable")]
    for number in range(5, 8):
        folder.put(site.folder, document(f"task{number}"))
    with pytest.raises(folder.NoRoom):
        folder.put(site.folder, document())
    with pytest.raises(folder.NoRoom):
        folder.put(site.folder, document(size=folder.MOST_DOCUMENT_BYTES))


def test_the_size_of_all_documents_is_bounded(site: Site, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_BYTES", 10_000)
    served.status = 503
    for _ in range(4):
        folder.put(site.folder, document(size=3_000))
    site.tick()
    assert site.counts()[0] == (1, TOO_MANY)


def test_what_a_killed_task_has_left_behind_is_removed(site: Site) -> None:
    site.tick()
    part = site.folder / "00001-part"
    part.write_bytes(b"{")
    site.tick()
    assert part.exists()
    os.utime(part, (1.0, 1.0))
    site.tick()
    assert site.counts() == [(1, NOT_WHOLE)]
    assert site.left == []


def test_at_its_end_the_worker_sends_what_waits(site: Site, served: Served) -> None:
    served.status = 503
    folder.put(site.folder, document())
    site.tick()
    served.status = 200
    site.sender.end(within_s=2.0)
    assert (len(served.bodies), site.left) == (2, [])


def test_at_its_end_what_is_not_taken_is_lost_and_counted(site: Site, served: Served) -> None:
    served.status = None
    for _ in range(3):
        folder.put(site.folder, document())
    began = time.monotonic()
    site.sender.end(within_s=1.0)
    assert time.monotonic() - began < 4
    assert site.counts() == [(1, "TimeoutError"), (3, AT_THE_END)]


def test_the_process_ends_with_the_worker_and_takes_little_memory(tmp_path: Path, served: Served) -> None:
    given = {NAMESPACE: ENVIRONMENT, RECEIVER: json.dumps({"endpoint": served.url})}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths.IMAGE_PYTHONPATH, "SHARED_FOLDER": str(tmp_path)}
    program = "import os, sys\nfrom agent.lineage.process import Beside\nb = Beside(os.environ)\nb.start()\nprint(b._process.pid, flush=True)\nsys.stdin.read()"  # noqa: E501
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**environment, **given, **sender_settings(given)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    folder.put(tmp_path / folder.NAME, document())
    assert eventually(lambda: len(served.bodies) == 1)
    mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    worker.kill()
    worker.wait()
    worker.stdin.close()
    worker.stdout.close()
    assert mib < 40
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_without_a_receiver_no_process_is_started() -> None:
    beside = Beside({"PATH": os.environ["PATH"]})
    beside.start()
    beside.end()
