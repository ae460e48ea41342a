"""Ends a task whose supervisor has died, as by the kernel's out-of-memory killer: it would go on beside its retry.

Airflow makes each task the leader of a process group. The kernel ends the leader with its supervisor; the runner ends
what is left of the group.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
PID = struct.Struct("q")


class TaskOf:
    """The task of one supervisor; made by the runner before it forks the supervisor."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, PID.size)  # the task's process id, 0 until it has started
        self._libc = ctypes.CDLL(None)

    def bind(self) -> None:
        """Let each process that this one forks, such as the task, end with it. The supervisor calls this."""
        supervisor, is_bound = os.getpid(), False

        def bind_task() -> None:
            nonlocal is_bound
            if is_bound:  # forked by the task, which may end before what it leaves behind
                return
            is_bound = True
            self._shared[:] = PID.pack(os.getpid())
            self.close()  # the task could write another process's id
            if sys.platform == "linux":
                self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:  # it died before the call
                os._exit(1)

        os.register_at_fork(after_in_child=bind_task)

    def end(self) -> int:
        """End what is left of the task's process group after its supervisor's death; return the task's process id.

        Return 0 if there was no task, or nothing is left of it.
        """
        pid: int = PID.unpack(self._shared[:])[0]
        if pid <= 1 or pid == os.getpgrp():  # 1 and 0 would mean all processes, or this group
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
            return pid
        return 0

    def close(self) -> None:
        """Free the shared memory in this process."""
        self._shared.close()
