"""Starts child processes that end with their parent, whatever ends it."""

import json
import os
import pwd
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from project.errors import CommandError

EXEC_SCRIPT = Path(__file__).with_name("_exec.py")
STOP_TIMEOUT_S = 10.0
LOG_TAIL_BYTES = 4000

Child = subprocess.Popen[bytes]


class StartError(CommandError):
    """A server did not start; the reason in one line."""


class UserIds(NamedTuple):
    """A user by its ids; it needs no entry in /etc/passwd."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str],
    log_path: str | os.PathLike[str],
    user: int | str | UserIds | None = None,
    reveal: Sequence[Path] = (),
    umask: int = -1,
    death_signal: int = signal.SIGKILL,
    new_session: bool = True,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
    group: Path | None = None,
) -> Child:
    """Start `argv` with its output appended to `log_path`. The kernel sends it `death_signal` when this process ends.

    The returned process is the program itself, whose exec wrapper has ended by then: pid, signals and exit code are the
    program's. Only this one process gets the death signal; its own children must end with it by themselves.
    Any thread may call this, even a short-lived one, because another thread forks, which lives as long as this process.

    `user` (name, uid or both ids; needs root) also sets that user's group and drops all others. `reveal`: what the
    program must reach although a folder above is closed to others, such as /root; it then gets a mount namespace.
    `stdin`, at most the 64 KiB of a pipe, is written to the program's standard input, which is otherwise /dev/null.
    `pass_fds` stay open. `group`: the file through which the program joins a control group before anything else.
    Raise FileNotFoundError when there is no such program. The exit code is 127 when it could not be run.
    """
    found = _find(os.fspath(argv[0]), env=env, cwd=cwd)
    uid, gid = ("-", "-") if user is None else map(str, user_ids(user))
    revealed = json.dumps([str(path.absolute()) for path in reveal])
    wrapper = [
        sys.executable,
        "-I",
        "-S",
        str(EXEC_SCRIPT),
        str(os.getpid()),
        str(int(death_signal)),
        uid,
        gid,
        revealed,
        "-" if group is None else str(group),
    ]
    command = [*wrapper, found, *(os.fspath(argument) for argument in argv[1:])]

    def start() -> Child:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=new_session,
                pass_fds=pass_fds,
                umask=umask,
            )
        finally:
            os.close(log)

    child = _in_lasting_thread(start)
    if child.stdin is not None:
        child.stdin.write(stdin or b"")
        child.stdin.close()
    return child


def stop(child: Child, *, stop_signal: int = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
    """Signal the child, wait, kill it if it is still there; return its exit code."""
    if child.poll() is None:
        child.send_signal(stop_signal)
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def user_ids(user: int | str | UserIds) -> UserIds:
    """Return the ids of a user in /etc/passwd, or the given ones. Raise KeyError when there is no such user."""
    if isinstance(user, UserIds):
        return user
    entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    return UserIds(entry.pw_uid, entry.pw_gid)


def log_tail(log_path: str | os.PathLike[str], *, since: int = 0) -> list[str]:
    """Return the last lines of a log, of those written after byte `since`."""
    with Path(log_path).open("rb") as log:
        end = log.seek(0, os.SEEK_END)
        log.seek(max(since, end - LOG_TAIL_BYTES))
        return [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]


def log_size(log_path: str | os.PathLike[str]) -> int:
    """Return the size of a log in bytes, 0 when there is no log yet."""
    path = Path(log_path)
    return path.stat().st_size if path.exists() else 0


def _find(program: str, *, env: Mapping[str, str], cwd: str | os.PathLike[str]) -> str:
    """Return the absolute path without following links: the place of the link tells a virtual environment's python."""
    found = Path(cwd, program) if "/" in program else Path(shutil.which(program, path=env.get("PATH", "")) or "/")
    if not found.is_file():
        raise FileNotFoundError(f"no such program: {program}")
    return str(found.absolute())


_Job = tuple[Callable[[], Child], "Future[Child]"]
_jobs: queue.SimpleQueue[_Job] | None = None
_jobs_pid = 0
_jobs_lock = threading.Lock()


def _in_lasting_thread(start: Callable[[], Child]) -> Child:
    """Call `start` in a thread that never ends, as the kernel signals the end of the forking *thread* (prctl(2))."""
    global _jobs, _jobs_pid
    with _jobs_lock:
        # After a fork the child has the queue but not the thread.
        if _jobs is None or _jobs_pid != os.getpid():
            _jobs, _jobs_pid = queue.SimpleQueue(), os.getpid()
            threading.Thread(target=_run_jobs, args=(_jobs,), name="spawn", daemon=True).start()
    answer: Future[Child] = Future()
    _jobs.put((start, answer))
    return answer.result()


def _run_jobs(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        start, answer = jobs.get()
        try:
            answer.set_result(start())
        except BaseException as error:  # noqa: BLE001 - `start`'s caller raises it again
            answer.set_exception(error)
