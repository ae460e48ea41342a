"""Learns how much memory the tasks of a worker need."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from agent.runner.container_memory import MIB
from fleet.peaks import LAST, PoolPeaks, typical

MOST_TASKS = 512  # are remembered, those that ran last
LAST_OF_A_TASK = 5


class Peaks:
    """The most memory that tasks were seen to hold, in bytes.

    `typical`: nine of the last ten tasks needed no more; 0 while none is known.
    """

    def __init__(self) -> None:
        self._of_task: OrderedDict[str, deque[int]] = OrderedDict()
        self._last: deque[int] = deque(maxlen=LAST)
        self._untold: deque[int] = deque(maxlen=LAST)  # those of the last ones that other workers do not know of
        self.typical = 0

    def learn(self, task: str, peak: int, *, is_whole: bool) -> None:
        """Note the peak of one run. If it is not `is_whole`, the task was ended and would have needed more."""
        if not is_whole and peak <= (self.of(task) or 0):
            return
        self._note(task, peak)
        if is_whole:
            self._last.append(peak)
            self._untold.append(peak)
            self.typical = typical(self._last)

    def adopt(self, known: PoolPeaks) -> None:
        """Begin with what other workers of the pool have learned, before what this one has."""
        self._last.extendleft(peak * MIB for peak in reversed(known.last[len(self._last) :]))
        self.typical = typical(self._last)

    def added_to(self, known: PoolPeaks) -> PoolPeaks | None:
        """Return what all workers know with what this one has learned since it was last asked; None if nothing."""
        if not self._untold:
            return None
        last = (*known.last, *(-(-peak // MIB) for peak in self._untold))[-LAST:]
        self._untold.clear()
        return replace(known, last=last)

    def of(self, task: str) -> int | None:
        """Return the largest of the task's last peaks; None if it is not known."""
        kept = self._of_task.get(task)
        return None if kept is None else max(kept)

    def _note(self, task: str, peak: int) -> None:
        kept = self._of_task.setdefault(task, deque(maxlen=LAST_OF_A_TASK))
        kept.append(peak)
        self._of_task.move_to_end(task)
        if len(self._of_task) > MOST_TASKS:
            self._of_task.popitem(last=False)
