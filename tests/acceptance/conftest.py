"""Runs the project's commands as a newcomer would, and watches what they leave on the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
END_TIMEOUT_S = 45

Address = tuple[str, int]


def of_checkout() -> set[int]:
    """Return the processes that belong to this checkout by their program, arguments or working directory."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            text = " ".join([*process.cmdline(), process.cwd()])
            if f"{ROOT}/" in text and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def strangers() -> set[int]:
    """Return those of them that neither run the tests nor were started, and are still held, by them."""
    me = psutil.Process()
    return of_checkout() - {process.pid for process in [me, *me.parents(), *me.children(recursive=True)]}


def listening() -> set[Address]:
    """Return every TCP address on which a process of this checkout listens; others may come and go meanwhile."""
    mine = of_checkout()
    found = psutil.net_connections(kind="tcp")
    return {(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN and c.pid in mine}


class Command:
    """One `make` command in a session of its own, with its output in a file."""

    def __init__(self, target: str, log_path: Path) -> None:
        self.log_path = log_path
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "COV"))}
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", target],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """All it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def interrupt(self) -> None:
        """Press Ctrl-C: SIGINT to the foreground process group, `make` and its child alike."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Return its exit code."""
        return self.process.wait(timeout_s)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[str], Command]]:
    """Start a make target; whatever is left of it at the test's end is ended."""
    made: list[Command] = []

    def start(target: str) -> Command:
        made.append(Command(target, tmp_path / f"{target}-{len(made)}.log"))
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


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail when the test leaves a process of this checkout or a listening port behind."""
    before, ports = strangers(), listening()
    yield
    deadline = time.monotonic() + 5
    while (strangers() - before or listening() - ports) and time.monotonic() < deadline:
        time.sleep(0.2)
    left = [" ".join(psutil.Process(pid).cmdline())[:200] for pid in strangers() - before]
    assert not left
    assert not listening() - ports
