"""A task that takes all memory ends alone: the real runner with Airflow's own supervisors and tasks."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.runner.container_memory import ControlGroup
from agent.runner.server import task_processes
from agent.runner.usage import Ledger
from tests.support.airflow_runner import AirflowRunner, Run
from tests.support.airflows_python import needs_airflow
from tests.support.waiting import eventually

pytestmark = needs_airflow

LIMIT_MIB = 2048
GOOD = 15
DAG = '''
import os, subprocess, sys, time
from airflow.sdk import dag, task
from airflow.providers.standard.operators.bash import BashOperator

FOLDER = os.environ["FOLDER"]
TAKE = """
import time
kept = []
while True:
    began = time.monotonic()
    kept.append(bytearray(b"x") * (8 * 2**20))
    time.sleep(max(0, {seconds} - (time.monotonic() - began)))
"""

def begin(name):
    open(f"{FOLDER}/{name}.{os.getpid()}.began", "w").close()

@dag(schedule=None)
def memory():
    @task
    def good():
        begin("good")
        kept = bytearray(b"x") * (8 * 2**20)
        while not os.path.exists(FOLDER + "/end"):
            time.sleep(0.05)
        print("good has ended with", len(kept))

    @task
    def large():
        begin("large")
        kept = bytearray(b"x") * (400 * 2**20)
        while not os.path.exists(FOLDER + "/end"):
            time.sleep(0.05)

    @task
    def leak():
        begin("leak")
        exec(TAKE.format(seconds=1 / 128))  # 1 GiB a second

    @task
    def leak_as_fast_as_it_can():
        exec(TAKE.format(seconds=0))

    @task
    def leak_in_a_fork():
        if os.fork() == 0:
            exec(TAKE.format(seconds=1 / 128))
        os.wait()
        time.sleep(60)

    @task
    def leak_in_many_processes():
        for _ in range(8):
            if os.fork() == 0:
                exec(TAKE.format(seconds=1 / 16))
        os.wait()
        time.sleep(60)

    @task
    def leave_a_daemon():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                begin("leave_a_daemon")
                while not os.path.exists(FOLDER + "/leak"):
                    time.sleep(0.05)
                exec(TAKE.format(seconds=1 / 128))
            os._exit(0)
        os.wait()
        while not os.path.exists(FOLDER + "/end"):
            time.sleep(0.05)

    good(), large(), leak(), leak_as_fast_as_it_can(), leak_in_a_fork(), leak_in_many_processes(), leave_a_daemon()
    BashOperator(task_id="leak_below_bash", bash_command=f"{sys.executable} -c '{TAKE.format(seconds=1/128)}'")

memory()
'''


@pytest.fixture(params=["group", pytest.param("stated", marks=pytest.mark.slow)])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AirflowRunner]:
    """Run one whose limit the kernel enforces, and one that knows it from its environment only."""
    made = AirflowRunner(tmp_path, dag=DAG, limit_mib=LIMIT_MIB, in_group=request.param == "group")
    if request.param == "group" and made.group is None:
        made.close()
        pytest.skip("this process may make no control group for memory")
    yield made
    made.close()


def start_good(runner: AirflowRunner, count: int) -> list[Run]:
    began = runner.began("good")
    runs = [runner.start("good") for _ in range(count)]
    assert eventually(lambda: runner.began("good") == began + count, within_s=60), runner.log
    return runs


def end(runner: AirflowRunner, runs: list[Run]) -> None:
    """Let the good tasks end, and check that each did so in its own time."""
    assert [run.task_id for run in runs if run.is_over] == []
    (runner.folder / "end").touch()
    for run in runs:
        assert run.join()
        assert run.outcome is not None, runner.log
        assert run.outcome.memory_limit is None
        assert "has ended with 8388608" in run.log or run.task_id != "good", run.log
    assert runner.process.poll() is None


def assert_ended_for_memory(run: Run) -> None:
    assert run.join()
    assert run.outcome is not None
    assert run.outcome.memory_limit == LIMIT_MIB * 2**20
    (held,) = re.findall(r"ran out of memory. It held ([\d,]+) MiB", run.log)
    assert f"all tasks of a worker have {LIMIT_MIB:,} MiB together." in run.log
    assert int(held.replace(",", "")) == pytest.approx((run.outcome.peak or 0) / 2**20, abs=1)
    assert int(held.replace(",", "")) > 400


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_of_sixteen_tasks_only_the_one_that_leaks_ends(runner: AirflowRunner, times: int) -> None:
    good = start_good(runner, GOOD)
    for _ in range(times):
        assert_ended_for_memory(runner.start("leak"))
    end(runner, good)
    # On a machine that is far too busy, the kernel may be faster.
    assert times * 0.8 <= runner.log.count("is ended, which holds") <= times


@pytest.mark.slow
def test_a_task_that_the_kernel_ends_has_the_same_line_in_its_log(runner: AirflowRunner) -> None:
    if runner.group is None:
        pytest.skip("the kernel holds no one to the limit")
    good = start_good(runner, 4)
    run = runner.start("leak")
    assert eventually(lambda: runner.began("leak") == 1, within_s=30)
    runner.process.send_signal(signal.SIGSTOP)
    try:
        assert_ended_for_memory(run)
    finally:
        runner.process.send_signal(signal.SIGCONT)
    end(runner, good)
    assert "is ended, which holds" not in runner.log


@pytest.mark.parametrize(
    "greedy",
    [
        "leak_in_many_processes",
        pytest.param("leak_as_fast_as_it_can", marks=pytest.mark.slow),
        pytest.param("leak_in_a_fork", marks=pytest.mark.slow),
        pytest.param("leak_below_bash", marks=pytest.mark.slow),
    ],
)
def test_a_task_counts_with_all_that_it_starts(runner: AirflowRunner, greedy: str) -> None:
    """The kernel would end the largest process, which is the neighbour's."""
    good = start_good(runner, 4)
    neighbour = runner.start("large")
    assert eventually(lambda: runner.began("large") == 1, within_s=30)
    assert_ended_for_memory(runner.start(greedy))
    end(runner, [*good, neighbour])


@pytest.mark.slow
def test_the_sum_over_the_processes_is_near_what_their_control_group_has(runner: AirflowRunner) -> None:
    good = start_good(runner, GOOD)
    if runner.group is not None:
        folder = runner.group.folder
        is_version_2 = (folder / "memory.current").exists()
        counted = ControlGroup(folder=folder, limit=LIMIT_MIB * 2**20, is_version_2=is_version_2).used()
        supervisors = psutil.Process(runner.process.pid).children()
        tasks = {task.pid for task in task_processes(psutil.Process(runner.process.pid))}
        zygotes = {child.pid for each in supervisors for child in each.children()} - tasks
        assert (len(supervisors), len(zygotes), len(tasks)) == (GOOD, GOOD, GOOD)
        reading = Ledger(runner.process.pid).read(
            supervisors={each.pid for each in supervisors}, zygotes=zygotes, others=()
        )
        assert reading.total == pytest.approx(counted, rel=0.15)
    end(runner, good)


@pytest.mark.slow
def test_of_two_tasks_that_leak_at_once_each_ends_and_no_other(runner: AirflowRunner) -> None:
    good = start_good(runner, GOOD - 1)
    for run in [runner.start("leak"), runner.start("leak")]:
        assert run.join()
        assert run.outcome is not None
        assert run.outcome.memory_limit is not None, run.log
    end(runner, good)


@pytest.mark.slow
def test_a_process_that_left_its_tasks_session_and_leaks_counts_for_its_task(runner: AirflowRunner) -> None:
    good = start_good(runner, GOOD - 1)
    leaver = runner.start("leave_a_daemon")
    assert eventually(lambda: runner.began("leave_a_daemon") == 1, within_s=30)
    (runner.folder / "leak").touch()
    assert_ended_for_memory(leaver)
    end(runner, good)
