"""A worker takes as many tasks as its memory allows: real worker and runner, with Airflow's supervisors and tasks."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.member import CONSUMING
from fleet.peaks import typical
from fleet.registry import Registry
from tests.support.airflow_worker import AirflowWorker, running_airflow_worker, workload
from tests.support.airflows_python import needs_airflow
from tests.support.execution_api import ExecutionApi
from tests.support.fake_ecs import FakeEcs
from tests.support.servers import RedisServer
from tests.support.waiting import eventually

pytestmark = [needs_airflow, pytest.mark.timeout(900)]

LIMIT_MIB, LARGE_MIB, RESERVE_MIB = 2048, 400, 128
MOST_AT_ONCE = (LIMIT_MIB - RESERVE_MIB) // LARGE_MIB
SLOTS = 8
START_WITHIN_S = 180.0
DAG = """
import time
from airflow.sdk import dag, get_current_context, task

def note(kind):
    with open(f"{notes}/{{get_current_context()['ti'].run_id}}.{{kind}}", "w") as file:
        file.write(str(time.monotonic()))

@dag(schedule=None)
def memory():
    @task
    def large():
        note("began")
        kept = bytearray(b"x") * ({large_mib} * 2**20)
        time.sleep(3)
        note("ended")
    large()

memory()
"""


class Crowd:
    """A worker and the tasks that it is sent, each of which notes when it begins and ends."""

    def __init__(self, worker: AirflowWorker, notes: Path) -> None:
        self.worker, self._notes = worker, notes
        self.fewest_slots = SLOTS

    def run(self, *runs: str) -> None:
        """Send a task for each run, and wait until none is left."""
        sent = [workload(dag_file="memory.py", dag_id="memory", task_id="large", run_id=run) for run in runs]
        messages = self.worker.send(*sent)

        def is_over() -> bool:
            if (member := self.worker.member) is not None:
                self.fewest_slots = min(self.fewest_slots, member.slots)
                assert member.declared_slots == SLOTS
                assert member.active <= member.slots
            return all(self.worker.state_of(message) == "SUCCESS" for message in messages)

        assert eventually(is_over, within_s=600), self.worker.log("worker")

    def shared(self) -> int:
        """Return the MiB that other workers of the pool know a task to need; 0 without any."""
        known = Registry(self.worker.client).peaks("worker")
        return typical(known.last) if known is not None else 0

    def ended(self) -> set[str]:
        """Return the runs whose task came to its own end."""
        return {path.stem for path in self._notes.glob("*.ended")}

    def most_at_once(self) -> int:
        """Return how many tasks have run beside each other at most."""
        steps = [(float(path.read_text()), 1) for path in self._notes.glob("*.began")]
        steps += [(float(path.read_text()), -1) for path in self._notes.glob("*.ended")]
        running = most = 0
        for _, step in sorted(steps):
            running += step
            most = max(most, running)
        return most


@pytest.fixture
def crowd(redis_server: RedisServer, tmp_path: Path) -> Iterator[Crowd]:
    redis_server.client.flushdb()
    dags, notes = tmp_path / "dags", tmp_path / "notes"
    dags.mkdir()
    notes.mkdir()
    (dags / "memory.py").write_text(DAG.format(notes=notes, large_mib=LARGE_MIB))
    with (
        contextlib.closing(FakeEcs()) as ecs,
        ExecutionApi() as api,
        running_airflow_worker(
            redis_server=redis_server,
            ecs=ecs,
            api_url=api.url,
            folder=tmp_path,
            dags=dags,
            slots=SLOTS,
            memory_mib=LIMIT_MIB,
        ) as worker,
    ):
        assert eventually(
            lambda: (member := worker.member) is not None and member.state == CONSUMING, within_s=START_WITHIN_S
        ), worker.log("worker")
        yield Crowd(worker, notes)


def test_tasks_that_do_not_fit_together_do_not_run_together(crowd: Crowd) -> None:
    crowd.run("first")
    runs = {f"run{number}" for number in range(24)}
    crowd.run(*runs)
    assert crowd.ended() == {"first", *runs}
    assert "is ended, which holds" not in crowd.worker.log("runner")
    assert 2 <= crowd.most_at_once() <= MOST_AT_ONCE
    assert crowd.fewest_slots <= MOST_AT_ONCE
    assert eventually(lambda: crowd.shared() >= LARGE_MIB, within_s=60)
    said = re.findall(r"memory: takes (\d) of 8 slots", crowd.worker.log("worker"))
    assert [int(number) <= MOST_AT_ONCE for number in said] == [True]
