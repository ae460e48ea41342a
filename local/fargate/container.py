"""Runs one container of a task as a session of processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from local.fargate.container_user import UMASK, ContainerUser
from local.fargate.memory_limit import OUT_OF_MEMORY, MemoryGroup
from local.servers.process import spawn


class Container:
    """A started container. ECS would signal its first process, and end its session."""

    def __init__(
        self,
        *,
        name: str,
        argv: list[str],
        env: Mapping[str, str],
        home: Path,
        log_path: Path,
        user: ContainerUser | None = None,
        memory: MemoryGroup | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._argv, self._env, self._home, self._user = argv, dict(env), home, user
        self._memory = memory
        if user is not None:
            user.own(home)
        self.was_killed = False
        self._start()

    @property
    def pid(self) -> int:
        """The id of the first process, which is also the session's."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, 128 + signal after a signal, as Docker reports it."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number: signal.Signals) -> None:
        """Signal the first process only: SIGTERM to the group would end Airflow's task processes."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    @property
    def ran_s(self) -> float:
        """The seconds since it was last started."""
        return time.monotonic() - self._started_at

    def restart(self) -> None:
        """Start it again after its exit, in the same place and environment, without processes left from before."""
        self._kill_processes()
        self._start()

    def kill(self) -> None:
        """Kill it and everything it started."""
        if self.process.poll() is None:
            self.was_killed = True
        self._kill_processes()
        self.process.wait()
        self._leave_group()

    def kill_leftovers(self) -> None:
        """Kill the processes that an exited first process left behind, as a container's end does."""
        if self.process.poll() is not None:
            self._kill_processes()
            self._leave_group()

    def last_line(self) -> str:
        """Return the last line of its log, for a message; or that it had too little memory."""
        if self._memory is not None and self._memory.has_run_out:
            return OUT_OF_MEMORY
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace")[-4000:].splitlines()
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _start(self) -> None:
        user = self._user
        self.process: subprocess.Popen[bytes] = spawn(
            self._argv,
            env=self._env,
            cwd=self._home,
            log_path=self.log_path,
            user=None if user is None else user.ids,
            reveal=() if user is None else (*user.reveal, self._home),
            umask=-1 if user is None else UMASK,
            group=None if self._memory is None else self._memory.procs,
        )
        self._started_at = time.monotonic()

    def _kill_processes(self) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _leave_group(self) -> None:
        if self._memory is not None:
            self._memory.remove()

    def _processes(self) -> list[psutil.Process]:
        """Return its session's processes, and its user's: a process that left the session ends with it too."""
        uid = None if self._user is None else self._user.ids.uid
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                process = psutil.Process(pid)
                if pid != os.getpid() and (os.getsid(pid) == self.pid or process.uids().real == uid):
                    found.append(process)
        return found
