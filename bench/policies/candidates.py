"""The settings of a pool that an operator can choose from, and which of them to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoscaler.settings import POLL_SECONDS_DEFAULT, RACED_BOOTS_DEFAULT_PERCENT, SCALE_IN_AFTER_DEFAULT_S
from bench.loads.load import Load
from bench.policies.catalog import default_policy
from bench.policies.experiment import Result
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.sim.pool import Scaler
from bench.sim.trial import Setting

POLL_S = (5, 15, 60)
SCALE_IN_AFTER_S = (0, 60)
RACED_PERCENT = (0, 35, 75)
MORE_WORKERS = (1, 2, 4)  # than the least there are now
PERCENT = 100


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Values of the template's parameters PollSeconds, ScaleInAfterSeconds, RacedBootsPercent and WorkerMin."""

    poll_s: int = POLL_SECONDS_DEFAULT
    scale_in_after_s: int = SCALE_IN_AFTER_DEFAULT_S
    raced_percent: int = RACED_BOOTS_DEFAULT_PERCENT
    minimum: int

    @property
    def name(self) -> str:
        return (
            f"PollSeconds {self.poll_s}, ScaleInAfterSeconds {self.scale_in_after_s}, "
            f"RacedBootsPercent {self.raced_percent}, WorkerMin {self.minimum}"
        )

    def make(self, _: Load, setting: Setting) -> Scaler:
        policy = replace(
            default_policy(setting),
            scale_in_after_s=float(self.scale_in_after_s),
            boots_per_task=self.raced_percent / PERCENT,
            minimum=self.minimum,
        )
        return OwnAutoscaler(policy, period_s=float(self.poll_s), name=self.name)


def candidates(*, minimum: int, maximum: int) -> list[Candidate]:
    """Each period with each patience and each eagerness, and more workers that always run with the defaults of all."""
    chosen = [
        Candidate(poll_s=poll_s, scale_in_after_s=after_s, raced_percent=percent, minimum=minimum)
        for poll_s in POLL_S
        for after_s in SCALE_IN_AFTER_S
        for percent in RACED_PERCENT
    ]
    default = Candidate(minimum=minimum)
    fuller = [replace(default, minimum=minimum + more) for more in MORE_WORKERS if minimum + more <= maximum]
    return list(dict.fromkeys((default, *chosen, *fuller)))


def recommended(results: Sequence[Result], *, wait_s: float) -> Result:
    """The cheapest whose 95 % quantile of waits is within `wait_s`; where none is, the one with the shortest.

    None that kills tasks, or leaves some undone, is recommended; `results` has one that does neither.
    """
    sound = [result for result in results if not result.killed and result.completed == result.tasks]
    within = [result for result in sound if result.wait_p95 <= wait_s]
    if within:
        return min(within, key=lambda result: (result.worker_hours, result.wait_p95))
    return min(sound, key=lambda result: (result.wait_p95, result.worker_hours))


def frontier(results: Sequence[Result]) -> list[Result]:
    """Those than which no other is both cheaper and quicker, the cheapest first."""
    best: list[Result] = []
    for result in sorted(results, key=lambda result: (result.worker_hours, result.wait_p95)):
        if not best or result.wait_p95 < best[-1].wait_p95:
            best.append(result)
    return best
