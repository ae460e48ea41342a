"""What the runner tells a task's supervisor about the task's memory, and the supervisor writes into the task's log."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.runner.container_memory import MIB

VALUES = struct.Struct("qq")  # the task's peak, and the limit that it was ended for


@dataclass(frozen=True, kw_only=True)
class Told:
    """`peak`: the most bytes that the task was seen to hold; None if it never was, as one that took half a second.

    `limit`: the container's, if the task was ended for want of memory; else None.
    """

    peak: int | None
    limit: int | None


class MemoryReport:
    """Memory that the runner and one supervisor share; made by the runner before it forks the supervisor."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, VALUES.size)
        self._peak = self._limit = 0

    def note(self, use: int) -> None:
        """Note what the task holds now, in bytes."""
        if use > self._peak:
            self._peak = use
            self._write()

    def end(self, *, use: int, limit: int) -> None:
        """Note that the task will be ended, before it is."""
        self._peak, self._limit = max(self._peak, use), limit
        self._write()

    def reset(self) -> None:
        """Begin again, for the supervisor's next task. The runner calls this before the task begins."""
        self._peak = self._limit = 0
        self._write()

    def told(self) -> Told:
        """Return what the runner has noted."""
        peak, limit = VALUES.unpack(self._shared[:])
        return Told(peak=peak or None, limit=limit or None)

    def hide_from_tasks(self) -> None:
        """Take it from every process that this one forks. The supervisor calls this."""
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        """Free the memory in this process."""
        self._shared.close()

    def _write(self) -> None:
        self._shared[:] = VALUES.pack(self._peak, self._limit)


@contextlib.contextmanager
def told_in_the_log(report: MemoryReport, *, limit: int, kills: Callable[[], int | None]) -> Iterator[None]:
    """Let Airflow's supervisor in this process write what `report` tells into the task's log, before the upload.

    `limit`: of the container, in bytes. `kills`: how many processes the kernel has killed for want of memory, None if
    that is not known: it may have been faster than the guard, and may have taken the same task.
    """
    from airflow.sdk.execution_time.supervisor import ActivitySubprocess

    update = ActivitySubprocess.update_task_state_if_needed
    before, largest_before = kills(), largest_child()

    def update_and_tell(self: Any) -> None:
        told = report.told()
        # It is private to Airflow's class, whose public `wait` returns it only after the upload.
        is_killed = told.limit is None and self._exit_code == -signal.SIGKILL
        if is_killed and before is not None and (kills() or 0) > before:
            largest = largest_child()
            # If an earlier task of this supervisor was larger, only what this one was seen to hold is known.
            is_this_tasks = largest > largest_before or told.peak is None
            report.end(use=max(told.peak or 0, largest if is_this_tasks else 0), limit=limit)
            told = report.told()
        if told.limit is not None:
            self.process_log.error(ended(told))
        elif told.peak is not None:
            self.process_log.info(f"The task's memory was at most {in_mib(told.peak)}.")
        update(self)

    ActivitySubprocess.update_task_state_if_needed = update_and_tell
    try:
        yield
    finally:
        ActivitySubprocess.update_task_state_if_needed = update


def largest_child() -> int:
    """Return the most bytes that one process has held of those that this one has waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def ended(told: Told) -> str:
    """Return the line for the log of a task that was ended."""
    return (
        f"This task was ended because its worker ran out of memory. It held {in_mib(told.peak or 0)}; all tasks of a "
        f"worker have {in_mib(told.limit or 0)} together. "
        "Let the task handle less at once, or run it in a pool with larger workers (docs/pools.md)."
    )


def in_mib(count: int) -> str:
    """Return bytes as people read them."""
    return f"{count / MIB:,.0f} MiB"
