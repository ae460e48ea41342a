"""The runner: serves one worker, and forks for each workload a process that supervises its task.

The process that forks has one thread and holds no secret: not of broker or database, and no token of a workload.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
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
from agent.runner import protocol
from agent.runner.container_memory import limit_of
from agent.runner.deaths import Deaths, answer
from agent.runner.early_task import EarlyTask
from agent.runner.guard import Guard, guard_of
from agent.runner.memory_report import MemoryReport
from agent.runner.protocol import Outcome, Start
from agent.runner.supervisor import Supervise, Supervisor
from agent.runner.supervisors import IDLE_S, Supervisors

log = logging.getLogger(__name__)

PR_SET_DUMPABLE = 4  # from <linux/prctl.h>
TICK_S = 0.5
TICK_AFTER_DEATH_S = 0.02
KILL_AFTER_S = 10.0
CHECK_EVERY_S = 0.5
TASK_TITLE = "airflow worker --"  # Airflow's title of a task's process, a child of its supervisor


def close_to_others() -> None:
    """Let no other process of this user read the memory or the environment of this one and of its forks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def listen(folder: Path) -> socket.socket:
    """Return a socket to which the worker can connect, before anyone accepts the connection. Raises OSError."""
    address, descriptor = protocol.address_in(folder)
    for name in (protocol.READY, protocol.SOCKET):
        (folder / name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(address)
        listener.listen(1)
    finally:
        os.close(descriptor)
    return listener


class Server:
    """Serves one worker. `supervise` runs a workload in a forked process, to its end.

    `tasks`: forks the processes of tasks, which one supervisor then runs one after the other; None: `supervise` does.
    """

    def __init__(
        self, folder: Path, supervise: Supervise, guard: Guard | None, *, tasks: EarlyTask | None = None
    ) -> None:
        self._folder, self._supervise, self._guard, self._tasks = folder, supervise, guard, tasks
        self._children: set[int] = set()
        self._supervisors = Supervisors(self._child)
        self._deaths = Deaths()
        self._control: socket.socket | None = None
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
        self._control = self._accept(listener or listen(self._folder))
        while self._control is not None or self._children or self._deaths:
            self._reap()
            self._supervisors.listen()
            self._supervisors.end_idle(after_s=IDLE_S if self._control is not None else 0.0)
            self._deaths.settle(self._children)
            self._beat()
            wait_s = min(self._watch_memory(), TICK_AFTER_DEATH_S if self._deaths else TICK_S)
            if self._control is None:
                time.sleep(wait_s)
                continue
            self._tell_memory(self._control)
            if select.select([self._control], [], [], wait_s)[0] and not self._serve(self._control):
                self._control.close()
                self._control = None

    def _beat(self) -> None:
        if time.monotonic() >= self._beat_due:
            heartbeat.beat(os.environ, heartbeat.RUNNER)
            self._beat_due = time.monotonic() + TICK_S

    def _watch_memory(self) -> float:
        """Return the seconds until the next time, TICK_S at most."""
        if self._guard is None:
            return TICK_S
        reports, zygotes = self._supervisors.reports(), self._supervisors.zygotes()
        return min(TICK_S, self._guard.tick(reports, zygotes=zygotes, others=self._children - reports.keys()))

    def _tell_memory(self, control: socket.socket) -> None:
        """Tell the worker what was measured. It is told again soon, so nothing waits for it."""
        measured = None if self._guard is None else self._guard.take_measurement()
        if measured is None:
            return
        numbers = self._supervisors.numbers()
        memory = protocol.Memory(
            usable=measured.usable,
            others=measured.others,
            tasks={numbers[pid]: held for pid, held in measured.tasks.items() if pid in numbers},
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
            self._assign(socket.socket(fileno=descriptors[0]), start)
        elif message == protocol.END_TASKS and self._ender is None:
            self._ender = self._child(lambda: end_tasks(psutil.Process(os.getppid())))
        return bool(message)

    def _assign(self, stream: socket.socket, start: Start) -> None:
        tasks = self._tasks if start.is_task else None

        def work(channel: socket.socket, report: MemoryReport) -> None:
            stream.close()  # it comes on the channel
            supervisor = Supervisor(self._folder, self._supervise, report)
            if tasks is None:
                supervisor.run_other(channel)
            else:
                supervisor.run_tasks(channel, tasks)

        try:
            self._supervisors.assign(start, stream, work, is_reusable=tasks is not None)
        except OSError as error:
            log.error("runner: cannot fork: %s", error)
            answer(stream, Outcome(is_started=False, error="OSError", reason=str(error)))

    def _child(self, work: Callable[[], None]) -> int:
        """Run `work` in a forked process, without the connections of others; return its process id. Raises OSError."""
        pid = os.fork()
        if pid:
            self._children.add(pid)
            return pid
        status = 1
        try:
            if self._control is not None:
                self._control.close()
            # What is shared with others' supervisors: a task could write to it.
            self._supervisors.close()
            self._deaths.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            work()
            status = 0
        except BaseException:
            log.exception("runner: a process failed")
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note_end(*ended)

    def _note_end(self, pid: int, status: int) -> None:
        self._children.discard(pid)
        self._ender = None if pid == self._ender else self._ender
        if (member := self._supervisors.take(pid)) is not None:
            stream, member.stream = member.stream, None
            member.close()
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
    gc.disable()  # until all is imported
    folder = Path(os.environ[variables.SHARED_FOLDER])
    listener = listen(folder)  # the worker connects meanwhile, and sets itself up beside the imports
    from airflow.sdk.log import configure_logging

    configure_logging(output=sys.stdout.buffer)
    from airflow.configuration import conf
    from airflow.executors.base_executor import BaseExecutor

    from agent.runner import decoders, huge_pages, log_copy, loggers, memory_report, obsolete, pace, trial, uploads
    from agent.runner.preload import preload, steps
    from agent.runner.task import AirflowTask

    pace.install()
    decoder = preload()
    obsolete.install()
    decoders.install()
    uploads.install()
    log_copy.install(os.environ)
    loggers.install()
    tasks = EarlyTask(AirflowTask(folder))
    tasks.install()
    (folder / protocol.READY).touch()  # its first task waits for what follows
    trial.take(
        steps(os.environ),
        most_bytes=trial.budget(limit_of(os.environ)),
        beat=lambda: heartbeat.beat(os.environ, heartbeat.RUNNER),
    )
    huge_pages.join()

    logs_to_stdout = conf.getboolean("logging", "task_logs_to_stdout", fallback=False)

    guard = guard_of(os.environ)

    def supervise(workload: str, report: MemoryReport) -> None:
        with contextlib.ExitStack() as stack:
            if guard is not None:
                stack.enter_context(memory_report.told_in_the_log(report, limit=guard.limit, kills=guard.kills))
            BaseExecutor.run_workload(decoded(workload, decoder), subprocess_logs_to_stdout=logs_to_stdout)

    Server(folder, supervise, guard, tasks=tasks).run(listener)
