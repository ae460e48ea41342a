"""Divides the seconds of a pool's workers among the tasks that ran on them.

The rule. c(t) is the number of the pool's workers at a time t, and B(t) the number of hosts on which its tasks run.

- A host's second is divided evenly among the tasks that run on it: a task that runs with two others bears a third.
- A second with B <= c has c - B idle worker-seconds: boots, drains, free workers. They are summed up for the pool.
- With B > c the hosts bear c / B of their seconds each, so that the pool never costs more than its workers. A task that
  its database row outlives, or a host that does not exist, adds nothing to the pool's sum.
- Where c is not known, it counts as B. These seconds are summed up as `unknown_s`.

So the tasks' worker-seconds and the idle ones add up to the integral of c, exactly. `bills` divides the idle ones among
the payers by their worker-seconds: a payer with a tenth of the tasks' worker-seconds bears a tenth of the idle ones. If
no task ran, no one bears them.

Pure. Times are seconds since any one moment, the same for all arguments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

Payer = tuple[str, str]
"""A DAG, and its owners as one text."""

# The order of events at one time: a host that a task leaves as another comes is never counted twice.
_END, _COUNT, _START = range(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A task's time on a host. `end` is infinite while it runs. One that ends before it starts has taken no time."""

    payer: Payer
    pool: str
    host: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Count:
    """A pool had so many workers from `at` on. They are known up to `until`, or to the next count if that is sooner."""

    at: float
    until: float
    workers: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """A payer's part: how many tasks ended, the seconds that its tasks ran, the worker-seconds that they bear."""

    tasks: int = 0
    task_s: float = 0.0
    worker_s: float = 0.0

    def __add__(self, other: Share) -> Share:
        return Share(
            tasks=self.tasks + other.tasks,
            task_s=self.task_s + other.task_s,
            worker_s=self.worker_s + other.worker_s,
        )


NOTHING = Share()


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a pool's workers did: the payers' shares, the idle worker-seconds, the seconds with an unknown count."""

    shares: Mapping[Payer, Share] = field(default_factory=dict)
    idle_s: float = 0.0
    unknown_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """Return the worker-seconds that tasks bear."""
        return sum(share.worker_s for share in self.shares.values())

    @property
    def worker_s(self) -> float:
        """Return all worker-seconds."""
        return self.busy_s + self.idle_s

    def __add__(self, other: Use) -> Use:
        shares = dict(self.shares)
        for payer, share in other.shares.items():
            shares[payer] = shares.get(payer, NOTHING) + share
        return Use(shares=shares, idle_s=self.idle_s + other.idle_s, unknown_s=self.unknown_s + other.unknown_s)


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A payer's share, and the part of the idle worker-seconds that it bears."""

    share: Share
    idle_s: float

    @property
    def worker_s(self) -> float:
        return self.share.worker_s + self.idle_s


def bills(use: Use) -> tuple[dict[Payer, Bill], float]:
    """Return each payer's bill, and the idle worker-seconds that no one bears. Together they are `use.worker_s`."""
    busy_s = use.busy_s
    if not busy_s:
        return {payer: Bill(share=share, idle_s=0.0) for payer, share in use.shares.items()}, use.idle_s
    idle = use.idle_s / busy_s
    return {payer: Bill(share=share, idle_s=share.worker_s * idle) for payer, share in use.shares.items()}, 0.0


def attribute(
    tasks: Iterable[Ran], counts: Mapping[str, Sequence[Count]], *, begin: float, end: float
) -> dict[str, Use]:
    """Return what each pool's workers did from `begin` to `end`, for the pools that have a count or a task then.

    A task counts as ended where it ends: after `begin`, up to `end`. So uses of adjacent times add up. It takes
    O(n log n) for n tasks and counts.
    """
    of_pool: dict[str, list[Ran]] = defaultdict(list)
    for task in tasks:
        if task.start < end and max(task.start, task.end) > begin:
            of_pool[task.pool].append(task)
    pools = sorted(of_pool.keys() | {pool for pool, known in counts.items() if known})
    return {pool: _use(of_pool[pool], counts.get(pool, ()), begin=begin, end=end) for pool in pools}


class _Host:
    """How many tasks run on it, and the worker-seconds that a task which ran on it from the beginning would bear."""

    __slots__ = ("borne_s", "rate_s", "tasks")

    def __init__(self) -> None:
        self.tasks = 0
        self.borne_s = 0.0
        self.rate_s = 0.0  # the pool's when `borne_s` was last brought up to date

    def advance(self, rate_s: float) -> None:
        if self.tasks:
            self.borne_s += (rate_s - self.rate_s) / self.tasks
        self.rate_s = rate_s


class _Sweep:
    """The pool at a moving time. `rate_s`: the seconds so far, each weighted by what hosts bear of it."""

    def __init__(self, begin: float) -> None:
        self.now = begin
        self.workers: int | None = None
        self.rate_s = self.idle_s = self.unknown_s = 0.0
        self._hosts: dict[str, _Host] = {}
        self._busy = 0

    def advance(self, now: float) -> None:
        passed_s = now - self.now
        self.now = now
        if self.workers is None:
            self.unknown_s += passed_s
            self.rate_s += passed_s
            return
        if self._busy:
            self.rate_s += passed_s * min(1.0, self.workers / self._busy)
        self.idle_s += passed_s * max(0, self.workers - self._busy)

    def change(self, host: str, by: int) -> float:
        """Add a task to a host, or remove it; return what a task has borne that ran there from the beginning."""
        found = self._hosts.get(host)
        if found is None:
            found = self._hosts[host] = _Host()
        found.advance(self.rate_s)
        self._busy -= found.tasks > 0
        found.tasks += by
        self._busy += found.tasks > 0
        return found.borne_s


def _use(tasks: Sequence[Ran], counts: Sequence[Count], *, begin: float, end: float) -> Use:
    """Pass through the events of one pool in their order."""
    totals: dict[Payer, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    events: list[tuple[float, int, int]] = []
    for number, task in enumerate(tasks):
        start, stop = max(begin, task.start), min(end, task.end)
        total = totals[task.payer]
        total[0] += begin < max(task.start, task.end) <= end
        if stop > start:
            total[1] += stop - start
            events += ((start, _START, number), (stop, _END, number))
    steps = _steps(counts, begin=begin, end=end)
    events += ((at, _COUNT, number) for number, (at, _) in enumerate(steps))
    events.sort()
    sweep, borne_before = _Sweep(begin), [0.0] * len(tasks)
    for at, kind, number in events:
        sweep.advance(at)
        if kind == _COUNT:
            sweep.workers = steps[number][1]
        elif kind == _START:
            borne_before[number] = sweep.change(tasks[number].host, 1)
        else:
            borne_s = sweep.change(tasks[number].host, -1) - borne_before[number]
            totals[tasks[number].payer][2] += borne_s
    sweep.advance(end)
    shares = {
        payer: Share(tasks=int(ended), task_s=task_s, worker_s=worker_s)
        for payer, (ended, task_s, worker_s) in totals.items()
    }
    return Use(shares=shares, idle_s=sweep.idle_s, unknown_s=sweep.unknown_s)


def _steps(counts: Sequence[Count], *, begin: float, end: float) -> list[tuple[float, int | None]]:
    """Return when the number of workers changes, ascending; None is unknown, as it is before the first step."""
    steps: list[tuple[float, int | None]] = []
    ordered = sorted(counts, key=lambda count: count.at)
    for count, following in zip_longest(ordered, ordered[1:]):
        next_at = end if following is None else following.at
        at, until = max(begin, count.at), min(end, count.until, next_at)
        if until <= at:
            continue
        if steps and steps[-1] == (at, None):
            steps.pop()
        steps += ((at, count.workers), (until, None))
    return steps


def counts_of_lives(lives: Iterable[tuple[float, float]]) -> list[Count]:
    """Return the number of workers over time from their (launch, end) pairs, 0 before the first and after the last."""
    changes: dict[float, int] = defaultdict(int)
    for launched_at, ended_at in lives:
        if ended_at > launched_at:
            changes[launched_at] += 1
            changes[ended_at] -= 1
    counts, workers = [Count(at=-float("inf"), until=float("inf"), workers=0)], 0
    for at, change in sorted(changes.items()):
        workers += change
        counts.append(Count(at=at, until=float("inf"), workers=workers))
    return counts
