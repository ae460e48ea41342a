"""How much is measured: whole, or quickly for a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SLOTS = 8  # of the worker that all but the figures of other sizes are measured with


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`turns` of each system, in turn; tasks of each burst; `latency_runs` on an idle system; seconds of waiting.

    `more_slots`: the sizes of further workers, whose memory alone is measured.
    """

    turns: int
    empty_tasks: int
    pandas_tasks: int
    many_tasks: int
    latency_runs: int
    idle_s: float
    running_s: float
    more_slots: Sequence[int]

    @property
    def slots(self) -> tuple[int, ...]:
        """The sizes of all workers."""
        return (SLOTS, *self.more_slots)

    @property
    def environment(self) -> dict[str, str]:
        """Return what the DAG files read."""
        return {
            "BENCH_EMPTY_TASKS": str(self.empty_tasks),
            "BENCH_PANDAS_TASKS": str(self.pandas_tasks),
            "BENCH_MANY_TASKS": str(self.many_tasks),
            "BENCH_SLOTS": ",".join(map(str, self.slots)),
        }


WHOLE = Sizes(
    turns=2,
    empty_tasks=120,
    pandas_tasks=96,
    many_tasks=200,
    latency_runs=12,
    idle_s=20.0,
    running_s=20.0,
    more_slots=(4, 16, 32),
)
QUICK = Sizes(
    turns=1,
    empty_tasks=8,
    pandas_tasks=4,
    many_tasks=6,
    latency_runs=2,
    idle_s=3.0,
    running_s=4.0,
    more_slots=(4,),
)
