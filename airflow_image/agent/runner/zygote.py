"""Forks the tasks of one supervisor, one after the other, from memory that has never held anything of a task.

A supervisor that is used again has read tokens and logs of earlier tasks, and a fork has all memory of the process that
forks it. So the supervisor forks a zygote before it reads anything, and lets that fork every task. The kernel makes
each task a child of the supervisor, not of the zygote (CLONE_PARENT): it ends with its supervisor, which waits for it
and adopts what it leaves behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from typing import NoReturn, Protocol

from agent.runner.channels import Channels
from agent.runner.orphans import end_child, end_with

PR_GET_TID_ADDRESS = 40  # from <linux/prctl.h>
CLONE_PARENT, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000  # from <linux/sched.h>
# Number and place of the address of the child's thread id, see clone(2).
CLONE = {"x86_64": (56, 3), "aarch64": (220, 4)}
ARGUMENTS = 5
MAX_MESSAGE = 1024  # bytes
UNEXPECTED = 124  # Airflow's exit code of a task's process that ends in a way that it should not

PYTHON = ctypes.PyDLL(None, use_errno=True)  # it keeps Python's lock during a call, as a fork must
PYTHON.syscall.argtypes = (ctypes.c_long,) * (ARGUMENTS + 1)
PYTHON.syscall.restype = ctypes.c_long


class Task(Protocol):
    """What a task's process does."""

    def prepare(self) -> None:
        """Do in the zygote, once, what each task would do otherwise."""

    def run(self, channels: Channels, dags_hash: str) -> None:
        """Be the task, with its ends of the connections; return, or end the process."""


class Closing(Protocol):
    """What a process can close."""

    def close(self) -> None: ...


class ZygoteDiedError(OSError):
    """The zygote has ended. Its supervisor cannot fork another: its own memory has held tasks by now."""


class Zygote:
    """The zygote of this process, a supervisor that has not read any workload yet."""

    def __init__(self, task: Task, *, closing: Iterable[Closing]) -> None:
        """Fork it. `closing`: what belongs to the supervisor, and is closed in the zygote. Raises OSError."""
        supervisor = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if (pid := os.fork()) == 0:
            try:
                end_with(supervisor)
                ours.close()
                for each in closing:
                    each.close()
                task.prepare()
                _serve(theirs, supervisor, task)
            except BaseException:  # noqa: BLE001 - nothing of the supervisor may go on in this process
                _tell()
            finally:
                os._exit(0)
        theirs.close()
        self.pid, self._socket = pid, ours

    def fork(self, dags_hash: str) -> tuple[int, Channels]:
        """Fork a task's process; return its id and the supervisor's ends. Raises OSError."""
        ours, theirs = Channels.pairs()
        try:
            with contextlib.closing(theirs):
                socket.send_fds(self._socket, [dags_hash.encode()], theirs.descriptors())
            answer = self._socket.recv(MAX_MESSAGE)
        except OSError as error:
            ours.close()
            raise ZygoteDiedError(f"the zygote {self.pid} does not answer: {error}") from None
        if not answer:
            ours.close()
            raise ZygoteDiedError(f"the zygote {self.pid} has ended")
        if (pid := int(answer)) < 0:
            ours.close()
            raise OSError(-pid, os.strerror(-pid))
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # also here: whichever process is faster
        return pid, ours

    def end(self) -> None:
        """End it; its status is read."""
        self._socket.close()
        end_child(self.pid)


def _serve(requests: socket.socket, supervisor: int, task: Task) -> None:
    """Be the zygote: fork a task for each request, until the supervisor closes its end."""
    tid = _tid_address()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MAX_MESSAGE, len(Channels.NAMES))
        if not message and not descriptors:
            return
        channels = Channels.of(descriptors)
        try:
            pid = _fork_sibling(tid)
        except OSError as error:
            requests.send(str(-(error.errno or 1)).encode())
            channels.close()
            continue
        if pid == 0:
            requests.close()
            _run(channels, message.decode(), supervisor, task)
        channels.close()
        requests.send(str(pid).encode())


def _run(channels: Channels, dags_hash: str, supervisor: int, task: Task) -> NoReturn:
    """Be a task's process."""
    try:
        end_with(supervisor)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)  # so that a signal to the group reaches all that the task starts
        task.run(channels, dags_hash)
    except BaseException:  # noqa: BLE001 - nothing of the zygote may go on in this process
        _tell()
    finally:
        os._exit(UNEXPECTED)


def _tell() -> None:
    with contextlib.suppress(BaseException):
        traceback.print_exc()
        sys.stderr.flush()


def _fork_sibling(tid_address: int) -> int:
    """Fork as `os.fork` does, but a child of this process's parent. This process has one thread. Raises OSError."""
    number, place = CLONE[os.uname().machine]
    # The kernel writes the child's id to where libc keeps it, as libc's own fork lets it do.
    flags = CLONE_PARENT | signal.SIGCHLD | ((CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID) if tid_address else 0)
    arguments = [flags, *[0] * (ARGUMENTS - 1)]
    arguments[place] = tid_address
    PYTHON.PyOS_BeforeFork()
    pid = int(PYTHON.syscall(number, *arguments))
    error = ctypes.get_errno()
    if pid == 0:
        PYTHON.PyOS_AfterFork_Child()
    else:
        PYTHON.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def _tid_address() -> int:
    """Return where libc keeps this thread's id; 0 if the kernel does not say."""
    address = ctypes.c_void_p()
    if PYTHON.prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0):
        return 0
    return address.value or 0
