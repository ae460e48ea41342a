"""Estimates from what the ticks saw: how fast tasks end, how long they take, how long messages have waited.

Airflow's messages carry no time. So the autoscaler remembers since when the same message has headed a list.
Only a short digest of it, computed by Redis, leaves Redis.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A boot takes about this long (measured: 40-90 s), so the ends of the last such time predict the next.
WINDOW_S = 60.0
MAX_SAMPLES = 64  # more than one a second of the window would teach nothing new


@dataclass(frozen=True, kw_only=True)
class DemandSample:
    """How many tasks waited or ran at one tick, and its time (Redis's)."""

    at: float
    demand: int


def add_sample(samples: Sequence[DemandSample], sample: DemandSample) -> tuple[DemandSample, ...]:
    """Add a sample to those of the last minute, oldest first; drop later ones, which a clock that went back left."""
    recent = [past for past in samples if sample.at - WINDOW_S <= past.at < sample.at]
    return (*recent, sample)[-MAX_SAMPLES:]


def count_ended(samples: Sequence[DemandSample]) -> int:
    """Return the least number of tasks that ended between the samples: an arrival between two of them hides an end."""
    demands = [sample.demand for sample in samples]
    return sum(before - after for before, after in itertools.pairwise(demands) if before > after)


def count_come(samples: Sequence[DemandSample], *, since: float) -> int:
    """Return the least number of tasks that came after the last sample before `since`: an end may hide an arrival."""
    later = ((before.demand, after.demand) for before, after in itertools.pairwise(samples) if after.at >= since)
    return sum(after - before for before, after in later if after > before)


def grown(samples: Sequence[DemandSample]) -> int:
    """Return by how many tasks the demand has grown between the first sample and the last; 0 if it has not.

    It counts at most twofold: a burst on a pool that was idle says nothing about more to come.
    """
    if not samples:
        return 0
    before, after = samples[0].demand, samples[-1].demand
    return max(0, min(after - before, before))


@dataclass(frozen=True, kw_only=True)
class Head:
    """The digest of the oldest message of one list, and since when (Redis's time) it has been seen there."""

    digest: str
    since: float


def update_heads(digests: Mapping[str, str], remembered: Mapping[str, Head], *, now: float) -> dict[str, Head]:
    """Return each list's head. An unchanged head keeps its time, which is never in the future."""
    heads = {}
    for name, digest in digests.items():
        before = remembered.get(name)
        same = before is not None and before.digest == digest
        heads[name] = Head(digest=digest, since=min(before.since, now) if before is not None and same else now)
    return heads


def oldest_wait_s(heads: Mapping[str, Head], *, now: float) -> float:
    """Return a lower bound of the longest wait; 0 without a message."""
    return max((now - head.since for head in heads.values()), default=0.0)
