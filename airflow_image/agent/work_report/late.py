"""Says for how many of its intervals a DAG has not succeeded.

An interval of a DAG begins when a scheduled run is due and ends when the next one is. Its run has missed it if it has
not succeeded by then, whether it failed, still runs, or was never created. Runs that people or other DAGs started, and
backfills, do not count.

Pure: runs, times and limits are arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from fleet.work import MOST_MISSED, LateDag, shown

# A DAG's tag, such as `expect:3`: alarm when it has not succeeded for three intervals; `expect:0`: never.
TAG = re.compile(r"expect:([0-9]{1,2})")


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A DAG that is not paused. `runs`: its last scheduled runs, the newest first, as (due, succeeded).

    `next_due`: when its next run may be created. Times are seconds since the epoch.
    """

    dag: str
    tags: tuple[str, ...]
    runs: Sequence[tuple[float, bool]]
    next_due: float


def expected_intervals(tags: Iterable[str], *, default: int) -> int:
    """Return how many intervals may pass without a success: the smallest number of the tags, or the default."""
    found = [int(match.group(1)) for match in map(TAG.fullmatch, tags) if match]
    return min(MOST_MISSED, min(found, default=default))


def missed_intervals(dag: Scheduled, *, now: float) -> int:
    """Return how many intervals have ended since the last success, at most MOST_MISSED.

    Runs that were due and are not created are counted by the distance between the last run and the next one.
    """
    unsuccessful = len(list(takewhile(lambda run: not run[1], dag.runs)))
    if dag.next_due <= now:
        distance_s = dag.next_due - dag.runs[0][0] if dag.runs else 0.0
        unsuccessful += 1 + (math.floor((now - dag.next_due) / distance_s) if distance_s > 0 else 0)
    # The newest one's interval has not ended.
    return min(MOST_MISSED, max(0, unsuccessful - 1))


def is_late(missed: int, *, expected: int) -> bool:
    """Return whether the DAG has missed as many intervals as are too many; 0 expects nothing of it."""
    return 0 < expected <= missed


def late_dags(dags: Iterable[Scheduled], *, default: int, now: float) -> tuple[LateDag, ...]:
    """Return the DAGs that have not succeeded for too many of their intervals, those with most first."""
    found = []
    for dag in dags:
        missed, expected = missed_intervals(dag, now=now), expected_intervals(dag.tags, default=default)
        if is_late(missed, expected=expected):
            found.append(LateDag(dag=shown(dag.dag), missed=missed, expected=expected))
    return tuple(sorted(found, key=lambda each: (-each.missed, each.dag)))
