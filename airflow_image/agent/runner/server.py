"""The runner: serves one worker, and forks for each workload a process that supervises its task.

The process that forks has one thread and holds no secret: not of broker or database, and no token of a workload.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from agent import heartbeat, variables
from agent.runner import protocol, running
from agent.runner.container_memory import limit_of
from agent.runner.deaths import Deaths, answer
from agent.runner.guard import Guard, guard_of
from agent.runner.memory_report import MemoryReport
from agent.runner.orphans import LeftBehind, bind_to_parent, listed
from agent.runner.protocol import Outcome, Start

log = logging.getLogger(__name__)

PR_SET_DUMPABLE = 4  # from <linux/prctl.h>
TICK_S = 0.5
TICK_AFTER_DEATH_S = 0.02
KILL_AFTER_S = 10.0
CHECK_EVERY_S = 0.5
TASK_TITLE = "airflow worker --"  # Airflow's title of a task's process, a child of its supervisor

Supervise = Callable[[str, MemoryReport], None]  # a workload


def close_to_others() -> None:
    """Let no other process of this user read the memory or the environment of this one and of its forks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def listen(folder: Path) -> socket.socket:
    """Return a socket to which the worker can connect, before anyone accepts the connection. Raises OSError."""
    address, descriptor = protocol.address_in(folder)
    (folder / protocol.SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(address)
        listener.listen(1)
    finally:
        os.close(descriptor)
    return listener


class Server:
    """Serves one worker. `supervise` runs a workload in the forked process, to its end.

    `begin_task`: what is done in that process before it reads the workload, if it is a task.
    """

    def __init__(
        self,
        folder: Path,
        supervise: Supervise,
        guard: Guard | None,
        *,
        begin_task: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._folder, self._supervise, self._guard, self._begin_task = folder, supervise, guard, begin_task
        self._children: set[int] = set()
        self._streams: dict[int, socket.socket] = {}  # by the process id of the workload's supervisor
        self._reports: dict[int, MemoryReport] = {}  # likewise
        self._numbers: dict[int, int] = {}  # of the workloads, likewise
        self._deaths = Deaths()
        self._ender: int | None = None  # the process that ends tasks
        self._is_stopping = False
        self._beat_due = 0.0

    def run(self, listener: socket.socket | None = None) -> None:
        """Serve until the worker closes the connection and the last workload has ended. Raises OSError.

        `listener`: what `listen` has returned, if it was called before.
        """
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._deaths.adopt_orphans()
        control = self._accept(listener or listen(self._folder))
        while control is not None or self._children or self._deaths:
            self._reap()
            self._deaths.settle(self._children)
            self._beat()
            wait_s = min(self._watch_memory(), TICK_AFTER_DEATH_S if self._deaths else TICK_S)
            if control is None:
                time.sleep(wait_s)
                continue
            self._tell_memory(control)
            if select.select([control], [], [], wait_s)[0] and not self._serve(control):
                control.close()
                control = None

    def _beat(self) -> None:
        if time.monotonic() >= self._beat_due:
            heartbeat.beat(os.environ, heartbeat.RUNNER)
            self._beat_due = time.monotonic() + TICK_S

    def _watch_memory(self) -> float:
        """Return the seconds until the next time, TICK_S at most."""
        if self._guard is None:
            return TICK_S
        return min(TICK_S, self._guard.tick(self._reports, others=self._children - self._reports.keys()))

    def _tell_memory(self, control: socket.socket) -> None:
        """Tell the worker what was measured. It is told again soon, so nothing waits for it."""
        measured = None if self._guard is None else self._guard.take_measurement()
        if measured is None:
            return
        memory = protocol.Memory(
            usable=measured.usable,
            others=measured.others,
            tasks={self._numbers[pid]: held for pid, held in measured.tasks.items()},
        )
        with contextlib.suppress(OSError):
            control.send(protocol.memory_message(memory), socket.MSG_DONTWAIT)

    def _stop(self, *_: object) -> None:
        """Note a SIGTERM. ECS stops the worker first; its connection ends when it needs the runner no longer."""
        self._is_stopping = True

    def _accept(self, listener: socket.socket) -> socket.socket | None:
        """Return the first connection, and accept no other: a task could pose as the worker, or as the runner."""
        with listener:
            try:
                while not self._is_stopping:
                    heartbeat.beat(os.environ, heartbeat.RUNNER)
                    if select.select([listener], [], [], TICK_S)[0]:
                        return listener.accept()[0]
                return None
            finally:
                (self._folder / protocol.SOCKET).unlink(missing_ok=True)

    def _serve(self, control: socket.socket) -> bool:
        """Act on one message; return False if the connection has ended."""
        try:
            message, descriptors, _, _ = socket.recv_fds(control, protocol.MAX_START_MESSAGE, 1)
        except OSError:
            return False
        if descriptors and (start := protocol.start_in(message)) is not None:
            self._fork(control, socket.socket(fileno=descriptors[0]), start)
        elif message == protocol.END_TASKS and self._ender is None:
            self._ender = self._child(control, lambda: end_tasks(psutil.Process(os.getppid())))
        return bool(message)

    def _fork(self, control: socket.socket, stream: socket.socket, start: Start) -> None:
        report = MemoryReport()
        try:
            pid = self._child(control, lambda: self._run_workload(stream, report, start))
            # This process never reads from the stream, and writes to it only if the supervisor dies.
            self._streams[pid], self._reports[pid], self._numbers[pid] = stream, report, start.number
        except OSError as error:
            report.close()
            log.error("runner: cannot fork: %s", error)
            answer(stream, Outcome(is_started=False, error="OSError", reason=str(error)))

    def _child(self, control: socket.socket, work: Callable[[], None]) -> int:
        """Run `work` in a forked process, without the connections of others; return its process id. Raises OSError."""
        pid = os.fork()
        if pid:
            self._children.add(pid)
            return pid
        try:
            control.close()
            # What is shared with others' supervisors: a task could write to it.
            for stream in self._streams.values():
                stream.close()
            self._deaths.close()
            for report in self._reports.values():
                report.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            work()
        except BaseException:
            log.exception("runner: a process failed")
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)

    def _run_workload(self, stream: socket.socket, report: MemoryReport, start: Start) -> None:
        os.environ[variables.DAGS_HASH] = start.dags_hash
        running.note(self._folder)
        left_behind = LeftBehind()
        left_behind.watch()
        bind_to_parent()
        report.hide_from_tasks()
        # A task, and what it leaves behind, must not keep the stream open, nor be able to write to it.
        os.register_at_fork(after_in_child=stream.close)
        error = reason = task = ""
        try:
            with self._begin_task() if start.is_task else contextlib.nullcontext():
                workload = protocol.receive_workload(stream)
                task = protocol.name_of(workload)
                self._supervise(workload, report)
        except BaseException as raised:  # noqa: BLE001 - the worker is told
            error, reason = type(raised).__name__, str(raised)[: protocol.MAX_REASON]
        if ended := left_behind.end():
            log.warning("fleet: the task %s has left processes behind, which are ended: %s", task, listed(ended))
        told = report.told()
        outcome = Outcome(error=error, reason=reason, peak=told.peak, memory_limit=told.limit, left_behind=len(ended))
        answer(stream, outcome)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note_end(*ended)

    def _note_end(self, pid: int, status: int) -> None:
        self._children.discard(pid)
        self._ender = None if pid == self._ender else self._ender
        self._numbers.pop(pid, None)
        if (report := self._reports.pop(pid, None)) is not None:
            report.close()
        if (stream := self._streams.pop(pid, None)) is not None:
            self._deaths.note_end(pid, status=status, stream=stream)


def task_processes(main: psutil.Process) -> list[psutil.Process]:
    """Return the processes in which tasks run: grandchildren of the runner's first process."""
    found = []
    for supervisor in main.children():
        with contextlib.suppress(psutil.Error):
            found += [task for task in supervisor.children() if " ".join(task.cmdline()).startswith(TASK_TITLE)]
    return found


def end_tasks(main: psutil.Process, *, kill_after_s: float = KILL_AFTER_S) -> None:
    """End tasks until none is left: SIGTERM first, for their on_kill, then SIGKILL.

    Their supervisors stay: they report the outcome and upload the log.
    """
    told: dict[psutil.Process, float] = {}
    while tasks := task_processes(main):
        now = time.monotonic()
        for task in tasks:
            with contextlib.suppress(psutil.Error):
                if task not in told:
                    told[task] = now
                    log.warning("fleet: stop deadline reached, ending task process %s", task.pid)
                    task.terminate()
                elif now - told[task] >= kill_after_s:
                    task.kill()
        time.sleep(CHECK_EVERY_S)


def decoded(workload: str, decoder: Any) -> Any:
    """Return Airflow's object. Raises ValueError, which does not show the workload: it has the task's token."""
    from pydantic import ValidationError

    try:
        return decoder.validate_json(workload)
    except ValidationError as error:
        raise ValueError(f"no workload of this version of Airflow, for {error.error_count()} reasons") from None


def main() -> None:
    """Preload, then serve the worker that shares the folder `SHARED_FOLDER`."""
    close_to_others()
    from airflow.sdk.log import configure_logging

    configure_logging(output=sys.stdout.buffer)
    from airflow.configuration import conf
    from airflow.executors.base_executor import BaseExecutor

    from agent.runner import decoders, huge_pages, loggers, memory_report, obsolete, pace, trial, uploads
    from agent.runner.early_task import EarlyTask
    from agent.runner.preload import preload, steps

    pace.install()
    decoder = preload()
    obsolete.install()
    decoders.install()
    uploads.install()
    loggers.install()
    early_task = EarlyTask()
    early_task.install()

    folder = Path(os.environ[variables.SHARED_FOLDER])
    listener = listen(folder)  # the worker connects meanwhile, and its first task waits
    trial.take(
        steps(os.environ),
        most_bytes=trial.budget(limit_of(os.environ)),
        beat=lambda: heartbeat.beat(os.environ, heartbeat.RUNNER),
    )
    huge_pages.join()

    logs_to_stdout = conf.getboolean("logging", "task_logs_to_stdout", fallback=False)

    guard = guard_of(os.environ)

    def supervise(workload: str, report: MemoryReport) -> None:
        if guard is not None:
            memory_report.install(report, limit=guard.limit, kills=guard.kills)
        BaseExecutor.run_workload(decoded(workload, decoder), subprocess_logs_to_stdout=logs_to_stdout)

    Server(folder, supervise, guard, begin_task=early_task.forked).run(listener)
