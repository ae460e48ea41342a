"""What a past run wanted in its course: what `agent.past_use` asks Postgres for, of simulated tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from agent.forecast import BUCKET_S

LEAST_S = 1.0  # as agent.past_use: a slot is taken for so long by the shortest task
Rises = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class PastTask:
    """When it was queued, started and ended, in seconds."""

    queued: float
    started: float
    ended: float


def rises_of(tasks: Sequence[PastTask], *, window_s: float) -> Rises:
    """Pairs of a second of the run and the slots that it wanted more than before in the BUCKET_S from then on.

    Of the first `window_s` seconds, as if no task had waited; `tasks` is not empty. The clock stands still until the
    first one starts. A test holds this against the statement that Postgres runs.
    """
    begin = min(task.started for task in tasks)
    steps = []
    for task in tasks:
        wanted_at = max(0.0, task.queued - begin)
        if wanted_at < window_s:
            steps += [(wanted_at, 1), (wanted_at + max(LEAST_S, task.ended - task.started), -1)]
    rises: dict[int, int] = defaultdict(int)
    wanted = most = 0
    for at, step in sorted(steps):
        wanted += step
        if wanted > most:
            most = wanted
            rises[int(at // BUCKET_S) * BUCKET_S] += 1
    return tuple(rises.items())
