"""How many slots a past run wanted in its beginning: what `fleet.history` asks Postgres for, of simulated tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_S = 1.0  # as fleet.history: a slot is taken for so long by the shortest task


@dataclass(frozen=True, kw_only=True)
class PastTask:
    """When it was queued, started and ended, in seconds."""

    queued: float
    started: float
    ended: float


def slots_wanted(tasks: Sequence[PastTask], *, window_s: float) -> int:
    """The most tasks at once had none waited, in the first `window_s` seconds; `tasks` is not empty.

    The clock stands still until the first one starts. A test holds this against the statement that Postgres runs.
    """
    begin = min(task.started for task in tasks)
    steps = []
    for task in tasks:
        wanted_at = max(0.0, task.queued - begin)
        if wanted_at < window_s:
            steps += [(wanted_at, 1), (wanted_at + max(LEAST_S, task.ended - task.started), -1)]
    wanted = most = 0
    for _, step in sorted(steps):
        wanted += step
        most = max(most, wanted)
    return most
