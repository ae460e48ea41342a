"""Which process serves after it has imported what tasks will import, as real processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from project import paths
from tests.support.waiting import eventually

# Takes the steps that STEPS names, then writes who serves, and waits for a signal.
PROGRAM = """
import ctypes, json, logging, os, signal, subprocess, sys, threading, time
from agent.runner import trial

logging.basicConfig(level="INFO")
first, taken = os.getpid(), []
listener = open("/dev/null")

class PausedAtForks:
    '''Threads of a library that ends them before a fork.'''
    def __init__(self):
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.ends.wait, daemon=True)
        self.thread.start()
        os.register_at_fork(before=self.end)
    def end(self):
        self.ends.set()
        self.thread.join()

def fail():
    raise ImportError("no such library")

held, files = [], []
STEPS = {
    "good": lambda: None,
    "better": lambda: None,
    "fails": fail,
    "exits": lambda: sys.exit(0),
    "crashes": lambda: ctypes.string_at(0),
    "thread": lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start(),
    "paused": PausedAtForks,
    "file": lambda: files.append(open("/dev/null")),
    "process": lambda: held.append(subprocess.Popen(["sleep", "60"])),
    "memory": lambda: held.append(bytearray(os.urandom(1)) * (100 * trial.MIB)),
    "hangs": lambda: time.sleep(60),
    "slow": lambda: time.sleep(1),
}

def step(name):
    def take():
        taken.append(name)
        STEPS[name]()
    return take

trial.LONGEST_S, trial.NO_STEP_AFTER_S = 8.0, 0.9
steps = {name: step(name) for name in os.environ["STEPS"].split()}
found = trial.take(steps, most_bytes=64 * trial.MIB, beat=lambda: open("beat", "a").write("."))
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
threads = len(os.listdir("/proc/self/task"))
answer = {"steps": found, "taken": taken, "first": first, "own": os.getpid(), "threads": threads}
open("answer~", "w").write(json.dumps(answer))
os.rename("answer~", "answer")
time.sleep(60)
"""


class Tried:
    """The program, which serves now. `answer`: what it has written."""

    def __init__(self, folder: Path, steps: str) -> None:
        self._folder = folder
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths.IMAGE_PYTHONPATH, "STEPS": steps}
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env=environment, cwd=folder, stdout=log, stderr=log
            )
        assert eventually((folder / "answer").exists, within_s=60)
        self.answer: Any = json.loads((folder / "answer").read_text())

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    @property
    def served_by_the_first(self) -> bool:
        return bool(self.answer["own"] == self.process.pid)


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Callable[[str], Tried]]:
    all_tried = []

    def start(steps: str) -> Tried:
        all_tried.append(Tried(tmp_path, steps))
        return all_tried[-1]

    yield start
    for each in all_tried:
        each.process.kill()
        each.process.wait()


def test_a_process_that_has_taken_all_steps_serves(tried: Callable[[str], Tried]) -> None:
    found = tried("good better")
    assert (found.answer["steps"], found.answer["taken"]) == (["good", "better"], ["good", "better"])
    assert found.answer["first"] == found.process.pid
    assert psutil.Process(found.answer["own"]).ppid() == found.process.pid
    files = Path(f"/proc/{found.process.pid}/fd")
    # It has become a small program: joined into huge pages, the memory would exist twice.
    assert eventually(lambda: psutil.Process(found.process.pid).cmdline()[1:3] == ["-I", "-S"])
    assert eventually(lambda: {each.name for each in files.iterdir()} == {"0", "1", "2"})


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("fails", "ImportError: no such library"),
        ("exits", "SystemExit"),
        ("crashes", "the process has ended"),
        ("thread", "Unfit: 1 threads are started"),
        ("file", "Unfit: 1 files are left open"),
        ("process", "Unfit: a process is started"),
        ("memory", "Unfit: 100 MiB are taken, of 64"),
    ],
)
def test_what_would_harm_tasks_is_left_out(
    step: str, reason: str, tried: Callable[[str], Tried], tmp_path: Path
) -> None:
    found = tried(f"good {step} better")
    assert (found.answer["steps"], found.answer["taken"]) == (["good", "better"], ["good", "better"])
    assert found.answer["threads"] == 1
    assert f"not imported for all tasks: {step}: {reason}" in found.log
    assert of_folder(tmp_path) == {found.process.pid, found.answer["own"]}


def of_folder(folder: Path) -> set[int]:
    """Return the processes whose working folder it is."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.add(process.pid)
    return found


def test_threads_that_end_before_a_fork_do_no_harm(tried: Callable[[str], Tried]) -> None:
    found = tried("good paused")
    assert found.answer["steps"] == ["good", "paused"]
    assert found.answer["threads"] == 1


def test_a_step_that_hangs_is_given_up_with_all_others(tried: Callable[[str], Tried], tmp_path: Path) -> None:
    began = time.monotonic()
    found = tried("good hangs")
    assert found.served_by_the_first
    assert (found.answer["steps"], found.answer["taken"]) == ([], [])
    assert time.monotonic() - began < 30
    assert len((tmp_path / "beat").read_text()) >= 8  # the health check is told that the runner is well


def test_what_there_is_no_time_for_is_left_out(tried: Callable[[str], Tried]) -> None:
    found = tried("slow good")
    assert found.answer["steps"] == ["slow"]
    assert "no time to import good" in found.log


def test_a_process_in_which_too_many_steps_fail_imports_nothing(tried: Callable[[str], Tried]) -> None:
    """Each of them fails in a process that is thrown away."""
    found = tried("fails exits crashes thread file process good")
    assert found.served_by_the_first
    assert found.answer["taken"] == []


def test_nothing_to_import_needs_no_other_process(tried: Callable[[str], Tried]) -> None:
    assert tried("").served_by_the_first


def test_the_first_process_passes_on_sigterm_and_ends_as_the_one_that_serves(tried: Callable[[str], Tried]) -> None:
    found = tried("good")
    found.process.terminate()
    assert found.process.wait(10) == 7


def test_the_first_process_dies_as_the_one_that_serves(tried: Callable[[str], Tried]) -> None:
    found = tried("good")
    os.kill(found.answer["own"], signal.SIGKILL)
    assert found.process.wait(10) == -signal.SIGKILL


def test_the_one_that_serves_ends_with_the_first(tried: Callable[[str], Tried]) -> None:
    found = tried("good")
    served = psutil.Process(found.answer["own"])
    found.process.kill()
    found.process.wait()
    assert eventually(lambda: not served.is_running() or served.status() == psutil.STATUS_ZOMBIE)
