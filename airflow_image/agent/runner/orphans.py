"""Ends what a task leaves behind, after its end and after the death of its supervisor, as by the out-of-memory killer.

It would go on unseen beside the task's retry, and ECS could stop it half-way.

When a process ends, its children go to the nearest ancestor that adopts orphans, whatever their session and process
group. Each supervisor adopts them, so all that a task starts stays below its supervisor. The runner adopts them as
well, so what comes to the runner is of a dead supervisor. No process can choose its ancestors, so no task can make
another one's processes look like its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Sequence, Set

import psutil

log = logging.getLogger(__name__)

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # from <linux/prctl.h>
# A process of which the task's end is the end, such as one that reads from it, ends by itself within this time.
TELL_AFTER_S = 0.5
KILL_AFTER_S = 1.5  # both since the end of the task
CHECK_EVERY_S = 0.05
ATTEMPTS, PAUSE_S = 25, 0.002  # to kill all children, at a time
# A killed process can stay for as long as the kernel waits for a disk or a network, for example. It runs no code.
MOST_S = 10.0
# An adopted process that has ended stays in the kernel's table until its status is read. A process that the supervisor
# started itself is left to the code that started it, which reads the status earlier than this.
READ_STATUS_AFTER_S = 5.0
NAMED = 5  # processes in a line of the log


def bind_to_parent() -> None:
    """Let the first process that this one forks end with it. The supervisor calls this before it forks its task.

    The kernel does it at once, even if the runner hangs. A task can refuse it: then the runner ends the task.
    """
    supervisor, is_bound = os.getpid(), False

    def bind() -> None:
        nonlocal is_bound
        if is_bound:  # forked by the task, which may end before what it started
            return
        is_bound = True
        end_with(supervisor)

    os.register_at_fork(after_in_child=bind)


def end_with(parent: int) -> None:
    """Let the kernel end this process with its parent, which has this id; end now if the parent has ended already."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class LeftBehind:
    """What one task of this process, its supervisor, leaves behind. `but`: children of the supervisor that stay."""

    def __init__(self, *, but: frozenset[int] = frozenset()) -> None:
        self._supervisor, self._task, self._but = os.getpid(), 0, but
        self._thread: threading.Thread | None = None
        self._task_ended_at: float | None = None
        self._is_over = False
        self._ended: dict[int, str] = {}  # names by process id

    def watch(self) -> None:
        """Adopt orphans from now on, and end them when the task has ended: the first process that this one forks."""
        adopt_orphans()
        os.register_at_fork(after_in_parent=self._note_task)

    def watch_task(self, pid: int) -> None:
        """End what the task, a child of this process, has left when it has ended.

        Airflow goes on after that: it uploads the log, and waits if what is left keeps the task's output open.
        """
        self._task = pid
        self._thread = threading.Thread(target=self._end_after_task, name="left behind", daemon=True)
        self._thread.start()

    def end(self) -> list[str]:
        """End all that is left, once the supervision is over; return the names of all processes that had to be ended.

        Return after MOST_S at the latest.
        """
        self._is_over = True
        began = time.monotonic()
        if self._task_ended_at is None:
            self._task_ended_at = began
        while _has_children(self._but):
            if time.monotonic() - began > MOST_S:
                log.error("fleet: processes that a task left behind do not end")
                break
            if time.monotonic() - self._task_ended_at >= KILL_AFTER_S:
                _kill_children(self._but, self._ended)
            else:
                self._end(each for each in psutil.Process().children(recursive=True) if each.pid not in self._but)
            time.sleep(CHECK_EVERY_S)
        if self._thread is not None:
            self._thread.join(MOST_S)
        return list(self._ended.values())

    def _note_task(self) -> None:
        if self._task or os.getpid() != self._supervisor:
            return
        if task := min(_children(), default=0):
            self.watch_task(task)

    def _end_after_task(self) -> None:
        """End what the task has left, when it has ended. What escapes here does not escape `end`.

        Leave alone the process group of this process, in which the programs are that it starts itself.
        """
        ended_before: set[int] = set()
        while not _ends_within(self._task, READ_STATUS_AFTER_S):
            ended_before = self._read_statuses(ended_before)
        self._task_ended_at = time.monotonic()
        # Most tasks leave nothing behind, and reading all processes takes milliseconds.
        while not self._is_over and _children() - self._but - {self._task} and (left := self._left()):
            self._end(left)
            time.sleep(CHECK_EVERY_S)
            for process in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)

    def _left(self) -> list[psutil.Process]:
        own, found = os.getpgrp(), []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                if process.pid != self._task and os.getpgid(process.pid) != own:
                    found.append(process)
        return found

    def _read_statuses(self, ended_before: set[int]) -> set[int]:
        """Read the statuses of those adopted processes that had ended before; return those that have ended by now."""
        ended = {pid for pid in _children() - self._but - {self._task} if has_ended(pid)}
        for pid in ended & ended_before:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return ended - ended_before

    def _end(self, processes: Iterable[psutil.Process]) -> None:
        since_s = time.monotonic() - (self._task_ended_at or 0.0)
        for process in processes:
            with contextlib.suppress(psutil.Error):
                is_told = process.pid in self._ended
                if since_s < TELL_AFTER_S or not _is_alive(process):
                    continue
                self._ended.setdefault(process.pid, process.name())
                if since_s >= KILL_AFTER_S:
                    process.kill()
                elif not is_told:
                    process.terminate()


class Orphans:
    """What dead supervisors leave behind: it comes to this process, the runner."""

    def __init__(self) -> None:
        self._others: set[int] = set()
        self._ended: dict[int, str] = {}

    def adopt(self) -> None:
        """Adopt orphans from now on. Processes that this one started before are none."""
        self._others = _children()
        adopt_orphans()

    def end(self, own: Collection[int]) -> bool:
        """Kill the children that this process has not forked, and all below them; return whether any are left.

        `own`: the process ids of those that it has forked. The caller reads the status of each child that has ended.
        """
        return _kill_children(self._others.union(own), self._ended)

    def take_ended(self) -> list[str]:
        """Return the names of the processes that were killed since the last call."""
        names, self._ended = list(self._ended.values()), {}
        return names


def listed(names: Sequence[str]) -> str:
    """Return the number of processes, and names of some, for a log; a process may have any name."""
    others = " and others" if len(names) > NAMED else ""
    return f"{len(names)}: {', '.join(repr(name) for name in names[:NAMED])}{others}"


def adopt_orphans() -> None:
    """Become the parent of what processes below this one leave behind."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> set[int]:
    """Return the ids of this process's children, also of those that have ended and whose status is not read yet."""
    lists = []
    try:
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - each task's supervisor pays for Path.glob
            with open(f"/proc/self/task/{thread}/children") as file:  # noqa: PTH123
                lists.append(file.read())
    except OSError:
        lists = []
    if not lists:  # a kernel without these files
        return {process.pid for process in psutil.Process().children()}
    return {int(pid) for each in lists for pid in each.split()}


def _has_children(but: Set[int]) -> bool:
    """Read the status of each child that has ended; return whether there is another, `but` some."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return not but or bool(_children() - but)


def _kill_children(but: Set[int], ended: dict[int, str]) -> bool:
    """Kill the children, `but` some, and those that come from below them; return whether any are left.

    Note the names of those that were killed in `ended`. No other process can get a child's id before its status is
    read, as a process further below could. The attempts follow each other fast, because a process that forks and ends
    again and again is another one each time.
    """
    for _ in range(ATTEMPTS):
        children = _children() - but
        if not children:
            return False
        for pid in children:
            if not has_ended(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                ended[pid] = ended.get(pid) or _name_of(pid)
        time.sleep(PAUSE_S)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    return True


def end_child(pid: int) -> None:
    """Kill a child of this process and read its status, unless it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def has_ended(pid: int) -> bool:
    """Return whether a child of this process has ended. It can still have a status that is not read."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name_of(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process that has ended"


def _ends_within(pid: int, seconds: float) -> bool:
    """Wait until a child ends, which leaves its status unread, or for so long; return whether it has ended."""
    deadline = time.monotonic() + seconds
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # a kernel without this call
        while time.monotonic() < deadline:
            if has_ended(pid):
                return True
            time.sleep(TELL_AFTER_S)
        return False
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
