"""Ends the task that holds the most memory before the container runs out: the kernel may end any process then.

The kernel takes the largest process, which may be another task, a supervisor, or the runner with all tasks. It cannot
be told which to take: a task's `oom_score_adj` belongs to root.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.runner.container_memory import MIB, ControlGroup, control_group, limit_of
from agent.runner.memory_report import MemoryReport, in_mib
from agent.runner.usage import Ledger, Reading, Use

log = logging.getLogger(__name__)

LONGEST_S, SHORTEST_S = 0.5, 0.005  # between two measurements, of which one takes 0.1 ms
# What may be taken from the moment a measurement is due until the kernel has ended the task, which takes some 10 ms, on
# a busy machine 50. One process takes 1 to 2 GiB/s; larger workers have more processors for it.
LEAST_RESERVE = 128 * MIB
RESERVE_PART = 32
RESERVE_LASTS_S = 1 / 16
TASKS_EVERY_S = 1.0  # the tasks are measured so often while there is room, for their peaks
# The kernel frees some 10 GiB in this time. A process that is still there is stuck, and the next one is chosen.
END_WITHIN_S = 1.0


def reserve_of(limit: int) -> int:
    """Return the bytes that must stay free."""
    return max(LEAST_RESERVE, limit // RESERVE_PART)


def wait_s(room: int, *, reserve: int) -> float:
    """Return the seconds until the next measurement, with `room` bytes below the limit.

    A leak that takes the reserve in RESERVE_LASTS_S has not begun to take it then.
    """
    return min(LONGEST_S, max(SHORTEST_S, (room - reserve) / reserve * RESERVE_LASTS_S))


def greediest(reading: Reading, *, but: Collection[int] = ()) -> Use | None:
    """Return what to end: the task, or the process that one has left behind, that holds the most.

    `but`: processes that were told to end already.
    """
    return max(
        (use for use in reading.uses.values() if set(use.pids).difference(but)),
        key=lambda use: (use.bytes, use.key),
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Bytes: those that can be held before tasks are ended, and those that are held now.

    `tasks`: by the process id of each task's supervisor; `others`: beside them.
    """

    usable: int
    tasks: Mapping[int, int]
    others: int


class Guard:
    """Watches the memory of the container in which this process runs tasks."""

    def __init__(self, limit: int, group: ControlGroup | None) -> None:
        """`limit`: of the container, in bytes. Without a `group` its use is the sum over its processes."""
        self.limit, self._group = limit, group
        self._reserve = reserve_of(limit)
        self._ledger = Ledger(os.getpid())
        self._tasks_due = 0.0
        self._measurement: Measurement | None = None
        self._ending: set[int] = set()  # processes that were told to end and have not yet
        self._ending_until = 0.0
        self._is_blind = False

    def kills(self) -> int | None:
        """Return how many processes the kernel has killed for want of memory; None if that is not known."""
        return None if self._group is None else self._group.kills()

    def take_measurement(self) -> Measurement | None:
        """Return what the tasks were seen to hold, once for each TASKS_EVERY_S; else None."""
        taken, self._measurement = self._measurement, None
        return taken

    def tick(
        self, reports: Mapping[int, MemoryReport], *, zygotes: Collection[int] = (), others: Collection[int]
    ) -> float:
        """Measure, end a task if it must be, and return the seconds until the next call is due.

        `reports`: by the process id of the supervisor. `zygotes`: of the supervisors. `others`: this process's children
        that are no supervisors.
        """
        try:
            return self._tick(reports, zygotes, others)
        except (OSError, ValueError, KeyError) as error:
            if not self._is_blind:
                log.warning("fleet: the container's memory cannot be read, and no task is ended for it: %r", error)
            self._is_blind = True
            return LONGEST_S

    def _tick(self, reports: Mapping[int, MemoryReport], zygotes: Collection[int], others: Collection[int]) -> float:
        now = time.monotonic()
        used = None if self._group is None else self._group.used()
        reading = None
        if used is None or now >= self._tasks_due or self.limit - used < self._reserve:
            reading = self._ledger.read(supervisors=reports.keys(), zygotes=zygotes, others=others)
            if now >= self._tasks_due:
                self._measurement = self._measured(reading, reading.total if used is None else used)
                self._tasks_due = now + TASKS_EVERY_S
            for key, use in reading.uses.items():
                if use.is_task and use.pids:
                    reports[key].note(use.bytes)
        self._is_blind = False
        room = self.limit - (reading.total if used is None and reading is not None else used or 0)
        if reading is not None and room < self._reserve:
            self._ending &= reading.running
            if not self._ending or now >= self._ending_until:
                self._end_greediest(reading, reports, room=room, now=now)
        return wait_s(room, reserve=self._reserve)

    def _measured(self, reading: Reading, used: int) -> Measurement:
        tasks = {key: use.bytes for key, use in reading.uses.items() if use.is_task}
        return Measurement(usable=self.limit - self._reserve, tasks=tasks, others=max(0, used - sum(tasks.values())))

    def _end_greediest(self, reading: Reading, reports: Mapping[int, MemoryReport], *, room: int, now: float) -> None:
        use = greediest(reading, but=self._ending)
        if use is None:
            return
        if use.is_task:
            reports[use.key].end(use=use.bytes, limit=self.limit)
        for pid in use.pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._ending.update(use.pids)
        self._ending_until = now + END_WITHIN_S
        log.error(
            "fleet: out of memory: %s of %s are left; %s is ended, which holds %s; %d tasks run",
            in_mib(room),
            in_mib(self.limit),
            f"the task of supervisor {use.key}" if use.is_task else f"process {use.key}, which a task has left behind,",
            in_mib(use.bytes),
            len(reports),
        )


def guard_of(environment: Mapping[str, str]) -> Guard | None:
    """Return the guard of this container; None if its memory has no limit. Raises ValueError."""
    stated = limit_of(environment)
    group = control_group(stated)
    limit = group.limit if group is not None else stated
    if limit is None:
        log.warning("fleet: this container's memory has no limit that is known here, so no task is ended for it")
        return None
    log.info(
        "fleet: tasks have %s; measured %s", in_mib(limit), "by process" if group is None else f"in {group.folder}"
    )
    return Guard(limit, group)
