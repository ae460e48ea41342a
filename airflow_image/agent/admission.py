"""Lets a worker take a message only while a typical task of it fits into the memory that its container has left.

Which task a message is for is not known before it is taken. The kernel, or the runner's guard, would end a task that
does not fit; in the queue it waits for another worker, or for the end of a task here.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

from agent.peaks import Peaks
from agent.runner.container_memory import MIB
from agent.runner.protocol import Memory, Outcome
from fleet.peaks import PoolPeaks

# The runner measures every second. Without it, the worker goes by its slots.
FRESH_S = 30.0


class Admission:
    """What the running tasks are expected to need, and what is left for others. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peaks = Peaks()
        self._numbers = itertools.count(1)
        self._running: dict[int, str | None] = {}  # the tasks, by number
        self._memory: Memory | None = None
        self._measured_at = 0.0

    def begin(self, task: str | None) -> int:
        """Note that a task is about to run, None for a workload that is none; return its number for the runner."""
        with self._lock:
            number = next(self._numbers)
            self._running[number] = task
            return number

    def end(self, number: int, outcome: Outcome | None) -> None:
        """Note that the task has ended, and learn its peak. One that took less than a second has held little."""
        with self._lock:
            task = self._running.pop(number)
            if task is not None and outcome is not None and (outcome.is_whole or outcome.peak is not None):
                self._peaks.learn(task, outcome.peak or 0, is_whole=outcome.is_whole)

    def measured(self, memory: Memory) -> None:
        """Take what the runner has measured."""
        with self._lock:
            self._memory, self._measured_at = memory, time.monotonic()

    def adopt(self, known: PoolPeaks) -> None:
        """Begin with what other workers of the pool have learned."""
        with self._lock:
            self._peaks.adopt(known)

    def added_to(self, known: PoolPeaks) -> PoolPeaks | None:
        """Return what all workers know with what this one has learned since it was last asked; None if nothing."""
        with self._lock:
            memory = self._memory
            if memory is None:
                return None
            return self._peaks.added_to(replace(known, room=max(0, memory.usable - memory.others) // MIB))

    def is_open(self, *, held: int) -> bool:
        """Return whether to take another message beside the `held` ones. A worker without any always takes one."""
        return held == 0 or self.slots(held + 1, held=held) > held

    def slots(self, declared: int, *, held: int) -> int:
        """Return how many messages the worker would hold now of the `declared` most, with the `held` ones."""
        with self._lock:
            typical = self._peaks.typical
            left = self._left(held, typical)
        if left is None or left >= typical * max(0, declared - held):
            return declared
        return max(1, held, held + left // typical if typical else held)

    def _left(self, held: int, typical: int) -> int | None:
        """Return the bytes that remain when all held messages' tasks have grown; None if that is not known.

        A task that has not run before is taken for a typical one.
        """
        memory = self._memory
        if memory is None or time.monotonic() - self._measured_at > FRESH_S:
            return None
        expected = max(0, held - len(self._running)) * typical  # they are about to begin, or to be acknowledged
        for number, task in self._running.items():
            known = None if task is None else self._peaks.of(task)
            expected += max(typical if known is None else known, memory.tasks.get(number, 0))
        return memory.usable - memory.others - expected


admission = Admission()
