"""What is measured, what is made of it, and the limits that it is held against; pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.micro.function.scenes import MOST_MEMBERS, MOST_QUEUED, Scene
from bench.report.tables import Verdict

# Of a hundred values five are above it: the last of 20 parts begins there.
P95_PARTS = 20

MB = 1_000_000
MEMBERS_A_CALL = 100  # DescribeTasks takes no more tasks

COLD_IMPORT_MS = 400
TICK_MS = 50
PACKAGE_MB = 20
PEAK_MEMORY_MB = 128
CALLS_WHEN_NOTHING_CHANGES = ("DescribeServices",)


@dataclass(frozen=True, kw_only=True)
class Cold:
    """One cold start, in milliseconds: the import by the clock and of the processor, the clients, the first look."""

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
    """Ticks at one scene one after another; sequences have an entry a look, times are in milliseconds.

    `own_ms`: the function's own and Redis's time; `cpu_ms`: of the processor, for all that the function does;
    `aws_ms`: waiting for AWS. `calls`: AWS operations. `commands`: Redis commands by name. `calibration_ms`: the fixed
    work, done after the scenes, which tells how fast the machine was. `peak_bytes`: memory, at most until then.
    """

    own_ms: Sequence[float]
    cpu_ms: Sequence[float]
    aws_ms: Sequence[float]
    calls: Sequence[Sequence[str]]
    commands: Sequence[Mapping[str, int]]
    calibration_ms: Sequence[float]
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class SceneFigures:
    """A scene with all its batches."""

    scene: Scene
    batches: Sequence[Batch]

    @property
    def own_ms(self) -> float:
        return best_median(batch.own_ms for batch in self.batches)

    @property
    def own_p95_ms(self) -> float:
        """Of all scenes, so of the machine's busy moments too."""
        return statistics.quantiles(chain.from_iterable(b.own_ms for b in self.batches), n=P95_PARTS)[-1]

    @property
    def cpu_ms(self) -> float:
        return best_median(batch.cpu_ms for batch in self.batches)

    @property
    def aws_ms(self) -> float:
        return best_median(batch.aws_ms for batch in self.batches)

    @property
    def ratio(self) -> float:
        """A look in units of the fixed work of the same batch: less the machine's than the milliseconds are."""
        return min(statistics.median(b.own_ms) / statistics.median(b.calibration_ms) for b in self.batches)

    @property
    def calls(self) -> Sequence[str]:
        """Of the look that made most."""
        return max(chain.from_iterable(batch.calls for batch in self.batches), key=len)

    @property
    def commands(self) -> Mapping[str, int]:
        """By name, the most of any look."""
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
            "own_ms_of_looks": [list(batch.own_ms) for batch in self.batches],
            "calibration_ms": [list(batch.calibration_ms) for batch in self.batches],
        }


def best_median(batches: Iterable[Sequence[float]]) -> float:
    """The lowest of the batches' medians: what else runs on the machine can only add to it."""
    return min(statistics.median(batch) for batch in batches)


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """`cold`: the cold starts by round."""

    scenes: Sequence[SceneFigures]
    cold: Sequence[Sequence[Cold]]


def most_calls(members: int) -> int:
    """AWS calls that a look may make: 2 + 2 x ceil(members / 100)."""
    return 2 + 2 * -(-members // MEMBERS_A_CALL)


def verdicts(*, cold: Sequence[Sequence[Cold]], scenes: Sequence[SceneFigures], package_bytes: int) -> list[Verdict]:
    """One for each limit; those of time and memory are for the largest fleet with the longest queues."""
    largest = [each for each in scenes if (each.scene.queued, each.scene.members) == (MOST_QUEUED, MOST_MEMBERS)]
    imports = best_median([start.import_ms for start in batch] for batch in cold)
    peak = max(each.peak_bytes for each in largest)
    return [
        Verdict(what="cold import", measured=imports, limit=COLD_IMPORT_MS, unit="ms"),
        *(
            Verdict(what=f"look: {each.scene.name}", measured=each.own_ms, limit=TICK_MS, unit="ms")
            for each in largest
            if not each.scene.unknown_tasks  # once a deployment; shown, but not what a look usually takes
        ),
        *_calls(scenes),
        Verdict(what="Redis commands that longer queues add", measured=_commands_by_length(scenes), limit=0),
        Verdict(what="package, unzipped", measured=package_bytes / MB, limit=PACKAGE_MB, unit="MB"),
        Verdict(what="peak memory", measured=peak / MB, limit=PEAK_MEMORY_MB, unit="MB"),
    ]


def _calls(scenes: Sequence[SceneFigures]) -> Iterator[Verdict]:
    steady = [each.calls for each in scenes if not each.scene.changes_something]
    needless = max(len([name for name in calls if name not in CALLS_WHEN_NOTHING_CHANGES]) for calls in steady)
    yield Verdict(what="AWS calls: nothing changes", measured=max(map(len, steady)), limit=1)
    yield Verdict(what="of these, not to describe services", measured=needless, limit=0)
    for each in scenes:
        if each.scene.changes_something:
            limit = most_calls(each.scene.members)
            yield Verdict(what=f"AWS calls: {each.scene.name}", measured=len(each.calls), limit=limit)


def _commands_by_length(scenes: Sequence[SceneFigures]) -> int:
    """The difference that the queues' length makes, to the same fleet in which nothing changes."""
    same = [e for e in scenes if e.scene.members == MOST_MEMBERS and not e.scene.changes_something]
    counts = [sum(each.commands.values()) for each in same]
    return max(counts) - min(counts)
