"""What the looks have seen tells of tasks: how fast they end, how long they take, how long they have waited."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A boot takes about this long (measured: 40-90 s), so what ended in such a time tells what will end in the next.
WINDOW_S = 60.0
MAX_SAMPLES = 64  # more than one a second of the window would teach nothing new
MIN_ENDS = 20
# A few bursts' worth: what ended before counts for less and less.
REMEMBERED_ENDS = 200.0


@dataclass(frozen=True, kw_only=True)
class DemandSample:
    """What one look saw: at which time (Redis's), how many tasks waited or ran."""

    at: float
    demand: int


def add_sample(samples: Sequence[DemandSample], sample: DemandSample) -> tuple[DemandSample, ...]:
    """Those of the last minute with the newest, oldest first; a clock that went back forgets what is in its future."""
    recent = [past for past in samples if sample.at - WINDOW_S <= past.at < sample.at]
    return (*recent, sample)[-MAX_SAMPLES:]


def count_ended(samples: Sequence[DemandSample]) -> int:
    """Tasks that have ended between the samples, at least: an arrival between two of them hides an end."""
    demands = [sample.demand for sample in samples]
    return sum(before - after for before, after in itertools.pairwise(demands) if before > after)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """While `ends` tasks ended, the last REMEMBERED_ENDS of them, slots were taken for `worked_s` seconds in all.

    `at`: since when (Redis's time) looks have seen `demand` tasks that wait or run, `active` of which run.
    """

    worked_s: float = 0.0
    ends: float = 0.0
    at: float = 0.0
    demand: int = 0
    active: int = 0

    def observe(self, *, demand: int, active: int, now: float) -> Pace:
        """Now that a look has seen so many. A clock that went back adds no work."""
        if demand == self.demand and active == self.active:
            return self
        ends = self.ends + max(0, self.demand - demand)
        share = min(1.0, REMEMBERED_ENDS / ends) if ends else 1.0
        worked_s = self.worked_s + self.active * max(0.0, now - self.at)
        return Pace(worked_s=share * worked_s, ends=share * ends, at=now, demand=demand, active=active)

    @property
    def task_s(self) -> float | None:
        """Seconds a task, rather too many: an arrival between two looks hides an end. None: too few have ended."""
        return self.worked_s / self.ends if self.ends >= MIN_ENDS else None


@dataclass(frozen=True, kw_only=True)
class Head:
    """The oldest message of one list, by digest, and since when it has been seen there (Redis's time)."""

    digest: str
    since: float


def update_heads(digests: Mapping[str, str], remembered: Mapping[str, Head], *, now: float) -> dict[str, Head]:
    """Each list's head; one that is the same as before keeps its time, which is never in the future."""
    heads = {}
    for name, digest in digests.items():
        before = remembered.get(name)
        same = before is not None and before.digest == digest
        heads[name] = Head(digest=digest, since=min(before.since, now) if before is not None and same else now)
    return heads


def oldest_wait_s(heads: Mapping[str, Head], *, now: float) -> float:
    """A lower bound of the longest wait; 0 when nothing waits."""
    return max((now - head.since for head in heads.values()), default=0.0)
