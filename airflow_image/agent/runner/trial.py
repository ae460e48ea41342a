"""Lets a process of its own import what tasks will import: it serves if that does no harm, and else is thrown away.

A package can start threads, which no fork copies, open files, which all tasks would share, take too much memory, or end
its process. Then another process is forked, which leaves the package to the tasks that import it. All of this is over
before the first task starts: no file that a package reads can have been written by a task.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from agent.runner.container_memory import MIB
from agent.runner.orphans import Orphans, end_with
from agent.runner.processes import held

log = logging.getLogger(__name__)

# A worker that connects meanwhile gets its answer afterwards: its first task waits.
NO_STEP_AFTER_S = 5.0
LONGEST_S = 20.0  # of all attempts
ATTEMPTS = 5
TICK_S = 0.5
MAX_REASON = 200  # characters
MAX_LINE_BYTES = 4096
MAX_DESCRIPTORS = 1024  # far more than the runner has before it serves
# What the steps may take: a part of the container's memory, within limits.
LEAST_BYTES, MOST_BYTES, PART_OF_LIMIT = 64 * MIB, 512 * MIB, 16

# No other process of its user may read or trace it, as before.
BEHIND = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
pid = int(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if status < 0:
    try:
        signal.signal(-status, signal.SIG_DFL)
    except OSError:
        pass  # SIGKILL has no handler
    os.kill(os.getpid(), -status)
os._exit(abs(status))
"""

Step = Callable[[], object]


class Unfit(Exception):
    """A step has left the process in a state in which it must not fork tasks."""


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """`step`: the last one that was begun. `reason`: why the process must not serve, empty if it may."""

    step: str
    reason: str


def budget(limit: int | None) -> int:
    """Return the bytes that the steps may take; `limit`: of the container, None if it has none."""
    return MOST_BYTES if limit is None else min(MOST_BYTES, max(LEAST_BYTES, limit // PART_OF_LIMIT))


def take(steps: Mapping[str, Step], *, most_bytes: int, beat: Callable[[], None]) -> list[str]:
    """Take the steps, by name, in a forked process; return in the process that shall serve, with those it has taken.

    If that is the forked one, this one stays as its parent and ends with it. `beat` is called at least every TICK_S
    while this process waits for the steps. Raises OSError.
    """
    left_out: set[str] = set()
    orphans = Orphans()  # programs that a step has started
    orphans.adopt()
    until = time.monotonic() + LONGEST_S
    while len(left_out) < ATTEMPTS and time.monotonic() < until:
        rest = {name: step for name, step in steps.items() if name not in left_out}
        if not rest:
            break
        ours, theirs = os.pipe()
        parent, pid = os.getpid(), os.fork()
        if not pid:
            os.close(ours)
            end_with(parent)
            return _taken(rest, theirs, most_bytes)
        os.close(theirs)
        verdict = _follow(ours, until=until, beat=beat)
        os.close(ours)
        if not verdict.reason:
            _stand_behind(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        orphans.end(())
        log.warning("runner: not imported for all tasks: %s: %s", verdict.step or "nothing", verdict.reason)
        left_out.add(verdict.step)
    return []


def _taken(steps: Mapping[str, Step], pipe: int, most_bytes: int) -> list[str]:
    """Take the steps in the forked process, which ends if one is unfit. Tell each step, and what came of all."""
    began, before, taken = time.monotonic(), _State.now(), []
    try:
        gc.disable()
        for name, step in steps.items():
            if time.monotonic() - began > NO_STEP_AFTER_S:
                log.info("runner: there is no time to import %s and what follows it", name)
                break
            _tell(pipe, step=name)
            step()
            before.require_no_harm(most_bytes)
            taken.append(name)
        gc.enable()
        gc.collect()
        gc.freeze()  # a collection in a task's process would copy every page that it marks
        _tell(pipe, reason="")
    except BaseException as error:  # noqa: BLE001 - the process is thrown away, whatever a package raises
        with contextlib.suppress(OSError):
            _tell(pipe, reason=f"{type(error).__name__}: {error}"[:MAX_REASON])
        os._exit(1)
    os.close(pipe)
    log.info("runner: imported for all tasks in %.1f s: %s", time.monotonic() - began, ", ".join(taken))
    return taken


@dataclass(frozen=True, kw_only=True)
class _State:
    """What a step must leave as it was. `descriptors`: what is open; `bytes`: memory of its own."""

    descriptors: frozenset[str]
    bytes: int

    @classmethod
    def now(cls) -> _State:
        found = held(os.getpid())
        descriptors = frozenset(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
        return cls(descriptors=descriptors, bytes=0 if found is None else found.own)

    def require_no_harm(self, most_bytes: int) -> None:
        """Raise Unfit if something has been left behind, or too much memory is taken."""
        if _threads() > 1:
            _fork_once()  # a library that is made to be forked ends its threads before
        if (threads := _threads()) > 1:
            raise Unfit(f"{threads - 1} threads are started")
        if _has_children():
            raise Unfit("a process is started")
        now = self.now()
        if opened := now.descriptors - self.descriptors:
            raise Unfit(f"{len(opened)} files are left open")
        if (taken := now.bytes - self.bytes) > most_bytes:
            raise Unfit(f"{taken // MIB} MiB are taken, of {most_bytes // MIB}")


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough


def _fork_once() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _tell(pipe: int, **values: str) -> None:
    os.write(pipe, json.dumps(values).encode() + b"\n")


def _follow(pipe: int, *, until: float, beat: Callable[[], None]) -> _Verdict:
    """Read what the forked process tells until it has taken all steps, ends, or the time is over."""
    step, unread = "", b""
    while (left_s := until - time.monotonic()) > 0:
        beat()
        if not select.select([pipe], [], [], min(TICK_S, left_s))[0]:
            continue
        part = os.read(pipe, MAX_LINE_BYTES)
        if not part:
            return _Verdict(step=step, reason="the process has ended")
        *lines, unread = (unread + part).split(b"\n")
        for line in lines:
            told = json.loads(line)
            step = told.get("step", step)
            if "reason" in told:
                return _Verdict(step=step, reason=told["reason"])
    return _Verdict(step=step, reason="it takes too long")


def _stand_behind(pid: int) -> NoReturn:
    """Become a small program, which frees this process's memory: it passes on SIGTERM to `pid`, and ends as it does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until the program can pass it on
    sys.stdout.flush()
    os.closerange(3, MAX_DESCRIPTORS)  # only the process that serves keeps the files open
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", BEHIND, str(pid)])  # noqa: S606 - a fixed program
