"""The stop deadline, on real processes arranged as in a runner: main, supervisors, tasks."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from agent.runner.server import TASK_TITLE, end_tasks, task_processes
from tests.support.waiting import eventually

SLEEP = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
# A supervisor starts a task under Airflow's title, and outlives it.
SUPERVISOR = """
import subprocess, sys, time
subprocess.Popen([sys.argv[1], "-c", sys.argv[2]], executable=sys.executable).wait()
time.sleep(60)
"""
MAIN = """
import subprocess, sys, time
for title, code in zip(sys.argv[2::2], sys.argv[3::2]):
    subprocess.Popen([sys.executable, "-c", sys.argv[1], title, code])
time.sleep(60)
"""


@contextlib.contextmanager
def worker(*tasks: tuple[str, str]) -> Iterator[psutil.Process]:
    """Start the main process of a runner whose tasks have these titles and run this code."""
    arguments = [argument for task in tasks for argument in task]
    with subprocess.Popen([sys.executable, "-c", MAIN, SUPERVISOR, *arguments]) as process:
        main = psutil.Process(process.pid)
        assert eventually(lambda: len(main.children(recursive=True)) == 2 * len(tasks))
        family = [*main.children(recursive=True), main]
        try:
            yield main
        finally:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


def supervisors(main: psutil.Process) -> int:
    return len(main.children())


@pytest.mark.parametrize("code", [SLEEP, STUBBORN], ids=["ends when told", "has to be killed"])
def test_tasks_are_ended_and_their_supervisors_are_not(code: str) -> None:
    with worker((f"{TASK_TITLE} 1", code), (f"{TASK_TITLE} 2", code)) as main:
        assert eventually(lambda: len(task_processes(main)) == 2)
        end_tasks(main, kill_after_s=1)
        assert (len(task_processes(main)), supervisors(main)) == (0, 2)


def test_other_processes_are_left_alone() -> None:
    with worker(("log server", SLEEP)) as main:
        ended = threading.Thread(target=end_tasks, args=(main,), kwargs={"kill_after_s": 0})
        ended.start()
        ended.join(30)
        assert len(main.children(recursive=True)) == 2
