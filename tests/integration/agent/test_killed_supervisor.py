"""Supervisors that are killed under load, with the real runner and worker: no task runs beside its retry."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fleet.member import CONSUMING, DRAINED
from fleet.registry import ORDER_DRAIN, Registry
from tests.support.airflow_worker import AirflowWorker, running_airflow_worker, workload
from tests.support.airflows_python import needs_airflow
from tests.support.execution_api import ExecutionApi
from tests.support.fake_ecs import MEMBER_ID, FakeEcs
from tests.support.processes import is_alive
from tests.support.servers import RedisServer
from tests.support.waiting import eventually, stays

pytestmark = [needs_airflow, pytest.mark.timeout(900)]

LANES = 4  # tasks at once
START_WITHIN_S = 180.0
DAG = """
import os, time
from airflow.sdk import dag, get_current_context, task

NOTES = {notes!r}

def note(run, attempt, kind):
    path = f"{{NOTES}}/{{run}}.{{attempt}}.{{kind}}.{{os.getpid()}}"
    with open(path + "~", "w") as file:
        file.write(str(os.getppid()))
    os.rename(path + "~", path)

@dag(schedule=None)
def killed():
    @task
    def work():
        ti = get_current_context()["ti"]
        note(ti.run_id, ti.try_number, "task")
        if ti.try_number > 1:
            return
        if os.fork() == 0:
            note(ti.run_id, ti.try_number, "child")
            time.sleep(300)
            os._exit(0)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                note(ti.run_id, ti.try_number, "daemon")
                time.sleep(300)
            os._exit(0)
        time.sleep(300)
    work()

killed()
"""


class Killing:
    """Tasks that are killed and retried at once. `overlaps_s`: for how long two tries of each ran beside each other."""

    def __init__(self, worker: AirflowWorker, notes: Path) -> None:
        self.worker, self.notes = worker, notes
        self.overlaps_s: list[float] = []

    def start(self, run: str, attempt: int) -> str:
        (message,) = self.worker.send(
            workload(dag_file="killed.py", dag_id="killed", task_id="work", run_id=run, try_number=attempt)
        )
        return message

    def processes(self, run: str, attempt: int, kind: str = "*") -> dict[Path, int]:
        return {path: int(path.suffix[1:]) for path in self.notes.glob(f"{run}.{attempt}.{kind}.*[0-9]")}

    def family(self, run: str) -> list[psutil.Process]:
        """Wait until the first try has started its processes; return them."""
        assert eventually(lambda: len(self.processes(run, 1)) == 3, within_s=START_WITHIN_S), self.worker.log("runner")
        return [psutil.Process(pid) for pid in self.processes(run, 1).values()]

    def supervisor(self, run: str) -> psutil.Process:
        (note,) = self.processes(run, 1, "task")
        return psutil.Process(int(note.read_text()))

    def kill_and_retry(self, run: str) -> None:
        message = self.start(run, 1)
        family = self.family(run)
        self.supervisor(run).kill()
        # The scheduler learns of the end here, and could start the retry.
        assert eventually(lambda: self.worker.state_of(message) == "FAILURE", within_s=30)
        told_at = time.monotonic()
        left = [process for process in family if is_alive(process)]
        retry = self.start(run, 2)
        assert eventually(lambda: not any(map(is_alive, left)), within_s=30)
        self.overlaps_s.append(time.monotonic() - told_at if left else 0.0)
        assert eventually(lambda: self.worker.state_of(retry) == "SUCCESS", within_s=START_WITHIN_S)
        assert len(self.processes(run, 2)) == 1


@pytest.fixture
def killing(redis_server: RedisServer, tmp_path: Path) -> Iterator[Killing]:
    redis_server.client.flushdb()
    dags, notes = tmp_path / "dags", tmp_path / "notes"
    dags.mkdir()
    notes.mkdir()
    (dags / "killed.py").write_text(DAG.format(notes=str(notes)))
    with (
        contextlib.closing(FakeEcs()) as ecs,
        ExecutionApi() as api,
        running_airflow_worker(
            redis_server=redis_server, ecs=ecs, api_url=api.url, folder=tmp_path, dags=dags, slots=LANES
        ) as worker,
    ):
        assert eventually(lambda: has_state(worker, CONSUMING), within_s=START_WITHIN_S), worker.log("worker")
        yield Killing(worker, notes)


def has_state(worker: AirflowWorker, state: str) -> bool:
    return worker.member is not None and worker.member.state == state


def reports_left_behind(worker: AirflowWorker) -> int:
    member = worker.member
    return 0 if member is None else member.left_behind


@pytest.mark.parametrize("times", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_no_task_runs_beside_its_retry(times: int, killing: Killing) -> None:
    failures: list[BaseException] = []
    waiting = [f"run-{number}" for number in range(times)]

    def lane() -> None:
        while waiting and not failures:
            try:
                killing.kill_and_retry(waiting.pop())
            except BaseException as error:  # noqa: BLE001 - it fails the test, not only this thread
                failures.append(error)

    lanes = [threading.Thread(target=lane) for _ in range(LANES)]
    for each in lanes:
        each.start()
    for each in lanes:
        each.join()
    assert failures == []
    assert len(killing.overlaps_s) == times
    assert max(killing.overlaps_s) < 2, killing.overlaps_s
    said = killing.worker.log("worker")
    assert said.count("processes behind, which are ended") >= 1
    # The agent reports once a second: the tasks may all have ended since its last report.
    assert eventually(lambda: reports_left_behind(killing.worker) >= times), killing.worker.member


def test_a_worker_is_not_drained_while_something_of_a_killed_supervisors_task_runs(killing: Killing) -> None:
    worker = killing.worker
    killing.start("run", 1)
    family = killing.family("run")
    Registry(worker.client).give_orders({MEMBER_ID: ORDER_DRAIN})
    assert eventually(lambda: is_active_and_protected(worker))
    supervisor = killing.supervisor("run")
    # The process that forks supervisors is not the container's first, once a trial of imports was taken over.
    runner = supervisor.parent()
    assert runner is not None
    runner.suspend()  # so that nothing can be ended
    try:
        supervisor.kill()
        (daemon,) = [process for process in family if process.pid in killing.processes("run", 1, "daemon").values()]
        assert stays(lambda: is_alive(daemon) and is_active_and_protected(worker), for_s=6)
    finally:
        runner.resume()
    assert eventually(lambda: has_state(worker, DRAINED), within_s=30)
    assert not any(map(is_alive, family))


def is_active_and_protected(worker: AirflowWorker) -> bool:
    member = worker.member
    return member is not None and member.active == 1 and member.protected and member.state != DRAINED
