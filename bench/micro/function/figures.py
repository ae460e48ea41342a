"""What is measured, and what is made of it; pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.micro.function.scenes import Scene

# Of a hundred values five are above it: the last of 20 parts begins there.
P95_PARTS = 20


@dataclass(frozen=True, kw_only=True)
class Cold:
    """One cold start, in milliseconds: the import by the clock and of the processor, the clients, the first look."""

    import_ms: float
    import_cpu_ms: float
    wiring_ms: float
    first_look_ms: float


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Looks at one scene one after another; sequences have an entry a look, times are in milliseconds.

    `own_ms`: the function's own and Redis's time; `cpu_ms`: of the processor, for all that the function does;
    `aws_ms`: waiting for AWS. `calls`: AWS operations. `commands`: Redis commands by name. `calibration_ms`: the fixed
    work, done after the looks, which tells how fast the machine was. `peak_bytes`: memory, at most until then.
    """

    own_ms: Sequence[float]
    cpu_ms: Sequence[float]
    aws_ms: Sequence[float]
    calls: Sequence[Sequence[str]]
    commands: Sequence[Mapping[str, int]]
    calibration_ms: Sequence[float]
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Looks:
    """A scene with all its batches."""

    scene: Scene
    batches: Sequence[Batch]

    @property
    def own_ms(self) -> float:
        return best_median(batch.own_ms for batch in self.batches)

    @property
    def own_p95_ms(self) -> float:
        """Of all looks, so of the machine's busy moments too."""
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
