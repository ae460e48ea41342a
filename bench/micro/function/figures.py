"""Measurements of the function, the figures derived from them, and their limits; pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.micro.function.scenes import MOST_MEMBERS, MOST_QUEUED, Scene
from bench.report.tables import Verdict

# The 95th percentile begins the last of 20 parts.
P95_PARTS = 20

MB = 1_000_000
MEMBERS_A_CALL = 100  # the most tasks of one DescribeTasks

COLD_IMPORT_MS = 400
TICK_MS = 50
PACKAGE_MB = 20
PEAK_MEMORY_MB = 128
CALLS_WHEN_NOTHING_CHANGES = ("DescribeServices",)


@dataclass(frozen=True, kw_only=True)
class Cold:
    """One cold start in milliseconds: the import, elapsed and processor time; the clients; the first tick."""

    import_ms: float
    import_cpu_ms: float
    wiring_ms: float
    first_tick_ms: float

    def to_record(self) -> dict[str, float]:
        return {
            "import_ms": self.import_ms,
            "import_cpu_ms": self.import_cpu_ms,
            "wiring_ms": self.wiring_ms,
            "first_look_ms": self.first_tick_ms,
        }


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Successive ticks of one scene. Sequences have one entry a tick; times are in milliseconds."""

    own_ms: Sequence[float]  # the time of the function itself and of Redis
    cpu_ms: Sequence[float]  # the processor time of everything that the function does
    aws_ms: Sequence[float]  # the time of waiting for AWS
    calls: Sequence[Sequence[str]]  # AWS operations
    commands: Sequence[Mapping[str, int]]  # Redis commands by name
    calibration_ms: Sequence[float]  # the time of the fixed work after the ticks, which shows how fast the machine was
    peak_bytes: int  # the peak of memory until then


@dataclass(frozen=True, kw_only=True)
class SceneFigures:
    """The figures of a scene, from all its batches."""

    scene: Scene
    batches: Sequence[Batch]

    @property
    def own_ms(self) -> float:
        return best_median(batch.own_ms for batch in self.batches)

    @property
    def own_p95_ms(self) -> float:
        """The 95th percentile of all ticks, including those while the machine was busy."""
        return statistics.quantiles(chain.from_iterable(b.own_ms for b in self.batches), n=P95_PARTS)[-1]

    @property
    def cpu_ms(self) -> float:
        return best_median(batch.cpu_ms for batch in self.batches)

    @property
    def aws_ms(self) -> float:
        return best_median(batch.aws_ms for batch in self.batches)

    @property
    def ratio(self) -> float:
        """A tick in units of the fixed work of the same batch, which depends less on the machine than milliseconds."""
        return min(statistics.median(b.own_ms) / statistics.median(b.calibration_ms) for b in self.batches)

    @property
    def calls(self) -> Sequence[str]:
        """The AWS calls of the tick with the most calls."""
        return max(chain.from_iterable(batch.calls for batch in self.batches), key=len)

    @property
    def commands(self) -> Mapping[str, int]:
        """The maximum of each Redis command in a tick."""
        most: Counter[str] = Counter()
        for batch in self.batches:
            for commands in batch.commands:
                most |= Counter(commands)
        return most

    @property
    def peak_bytes(self) -> int:
        return max(batch.peak_bytes for batch in self.batches)

    def to_record(self) -> dict[str, Any]:
        return {
            "scene": self.scene.name,
            "queued": self.scene.queued,
            "members": self.scene.members,
            "own_ms": self.own_ms,
            "own_p95_ms": self.own_p95_ms,
            "cpu_ms": self.cpu_ms,
            "aws_ms": self.aws_ms,
            "ratio": self.ratio,
            "calls": list(self.calls),
            "commands": dict(self.commands),
            "peak_bytes": self.peak_bytes,
            "own_ms_of_ticks": [list(batch.own_ms) for batch in self.batches],
            "calibration_ms": [list(batch.calibration_ms) for batch in self.batches],
        }


def best_median(batches: Iterable[Sequence[float]]) -> float:
    """Return the lowest of the batches' medians: other work on the machine can only add to it."""
    return min(statistics.median(batch) for batch in batches)


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """All measurements of a run; `cold` has the cold starts of each round."""

    scenes: Sequence[SceneFigures]
    cold: Sequence[Sequence[Cold]]


def most_calls(members: int) -> int:
    """Return the limit of AWS calls in a tick: 2 + 2 x ceil(members / 100)."""
    return 2 + 2 * -(-members // MEMBERS_A_CALL)


def verdicts(*, cold: Sequence[Sequence[Cold]], scenes: Sequence[SceneFigures], package_bytes: int) -> list[Verdict]:
    """Return a verdict for each limit. Limits of time and memory are for the largest fleet with the longest queues."""
    largest = [each for each in scenes if (each.scene.queued, each.scene.members) == (MOST_QUEUED, MOST_MEMBERS)]
    imports = best_median([start.import_ms for start in batch] for batch in cold)
    peak = max(each.peak_bytes for each in largest)
    return [
        Verdict(what="cold import", measured=imports, limit=COLD_IMPORT_MS, unit="ms"),
        *(
            Verdict(what=f"tick: {each.scene.name}", measured=each.own_ms, limit=TICK_MS, unit="ms")
            for each in largest
            if not each.scene.unknown_tasks  # once a deployment; shown, but without a limit
        ),
        *_calls(scenes),
        Verdict(what="additional Redis commands with longer queues", measured=_commands_by_length(scenes), limit=0),
        Verdict(what="package, unzipped", measured=package_bytes / MB, limit=PACKAGE_MB, unit="MB"),
        Verdict(what="peak memory", measured=peak / MB, limit=PEAK_MEMORY_MB, unit="MB"),
    ]


def _calls(scenes: Sequence[SceneFigures]) -> Iterator[Verdict]:
    steady = [each.calls for each in scenes if not each.scene.changes_something]
    needless = max(len([name for name in calls if name not in CALLS_WHEN_NOTHING_CHANGES]) for calls in steady)
    yield Verdict(what="AWS calls: nothing changes", measured=max(map(len, steady)), limit=1)
    yield Verdict(what="of these, other than DescribeServices", measured=needless, limit=0)
    for each in scenes:
        if each.scene.changes_something:
            limit = most_calls(each.scene.members)
            yield Verdict(what=f"AWS calls: {each.scene.name}", measured=len(each.calls), limit=limit)


def _commands_by_length(scenes: Sequence[SceneFigures]) -> int:
    """Return how many more commands longer queues need, for the same fleet when nothing changes."""
    same = [e for e in scenes if e.scene.members == MOST_MEMBERS and not e.scene.changes_something]
    counts = [sum(each.commands.values()) for each in same]
    return max(counts) - min(counts)
