"""Learns how much memory the tasks of a worker need."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

MOST_TASKS = 512  # are remembered, those that ran last
LAST_OF_A_TASK = 5
LAST_OF_ALL = 100
TYPICAL_QUANTILE = 0.9


class Peaks:
    """The most memory that tasks were seen to hold, in bytes.

    `typical`: nine of the last ten tasks needed no more; 0 while none is known.
    """

    def __init__(self) -> None:
        self._of_task: OrderedDict[str, deque[int]] = OrderedDict()
        self._last: deque[int] = deque(maxlen=LAST_OF_ALL)
        self.typical = 0

    def learn(self, task: str, peak: int, *, is_whole: bool) -> None:
        """Note the peak of one run. If it is not `is_whole`, the task was ended and would have needed more."""
        if not is_whole and peak <= (self.of(task) or 0):
            return
        kept = self._of_task.setdefault(task, deque(maxlen=LAST_OF_A_TASK))
        kept.append(peak)
        self._of_task.move_to_end(task)
        if len(self._of_task) > MOST_TASKS:
            self._of_task.popitem(last=False)
        if is_whole:
            self._last.append(peak)
            self.typical = sorted(self._last)[math.ceil(TYPICAL_QUANTILE * len(self._last)) - 1]

    def of(self, task: str) -> int | None:
        """Return the largest of the task's last peaks; None if it is not known."""
        kept = self._of_task.get(task)
        return None if kept is None else max(kept)
