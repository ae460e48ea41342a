"""Runs the project's commands as a newcomer would, each with a state folder of its own, and watches its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from project.paths import ROOT, STATE_VARIABLE
from tests.support.processes import arguments, is_alive

END_TIMEOUT_S = 45
LEAVE_TIMEOUT_S = 5
SAMPLE_EVERY_S = 1.0

Address = tuple[str, int]


class Command:
    """One `make` command in a session of its own, with its output in a file."""

    def __init__(self, target: str, *variables: str, state: Path, log_path: Path) -> None:
        self.state, self.log_path = state, log_path
        self.seen: set[psutil.Process] = set()
        self.listened: set[Address] = set()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "COV"))}
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", target, *variables],
                cwd=ROOT,
                env={**env, STATE_VARIABLE: str(state)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=self._sample, args=(psutil.Process(self.process.pid),), daemon=True).start()

    @property
    def said(self) -> str:
        """All it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def reaches(self, text: str, *, timeout_s: float) -> None:
        """Wait until it has printed the text."""
        deadline = time.monotonic() + timeout_s
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def interrupt(self) -> None:
        """Press Ctrl-C: SIGINT to the foreground process group, `make` and its child alike."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Return its exit code."""
        return self.process.wait(timeout_s)

    def left(self) -> set[psutil.Process]:
        """Return the living processes that it started, or that work in its state folder."""
        return {process for process in self.seen if is_alive(process)} | working_in(self.state)

    def _sample(self, root: psutil.Process) -> None:
        while self.process.poll() is None:
            with contextlib.suppress(psutil.Error):
                found = root.children(recursive=True)
                self.seen.update(found)
                self.listened |= listening(found)
            time.sleep(SAMPLE_EVERY_S)


def working_in(folder: Path) -> set[psutil.Process]:
    """Return the living processes whose arguments, environment or working directory name the folder."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            texts = [*process.cmdline(), process.cwd(), *process.environ().values()]
            if any(str(folder) in text for text in texts) and is_alive(process):
                found.add(process)
    return found


def listening(processes: Iterable[psutil.Process]) -> set[Address]:
    """Return every TCP address on which one of the processes listens."""
    pids = {process.pid for process in processes}
    found = psutil.net_connections(kind="tcp")
    return {(c.laddr.ip, c.laddr.port) for c in found if c.laddr and c.status == psutil.CONN_LISTEN and c.pid in pids}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start a make target, by default with the test's state folder. At the end, no process of it may be left.

    A command that the test did not end is ended, and no fault of its own.
    """
    made: list[Command] = []

    def start(target: str, *variables: str, state: str = "state") -> Command:
        made.append(
            Command(target, *variables, state=tmp_path / state, log_path=tmp_path / f"{target}-{len(made)}.log")
        )
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(END_TIMEOUT_S)
                continue
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while (left := set().union(*(each.left() for each in made))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [" ".join(arguments(process))[:200] for process in left]
    assert not listening(left)
