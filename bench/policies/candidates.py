"""The settings of a pool that `make replay` tries, and the choice of the best."""

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
MORE_WORKERS = (1, 2, 4)  # in addition to the present minimum
PERCENT = 100
NAMES = "PollSeconds / ScaleInAfterSeconds / RacedBootsPercent / WorkerMin"


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

    @property
    def values(self) -> str:
        """Return the values alone, in the order of NAMES."""
        return f"{self.poll_s} / {self.scale_in_after_s} / {self.raced_percent} / {self.minimum}"

    def make(self, _: Load, setting: Setting) -> Scaler:
        policy = replace(
            default_policy(setting),
            scale_in_after_s=float(self.scale_in_after_s),
            boots_per_task=self.raced_percent / PERCENT,
            minimum=self.minimum,
        )
        return OwnAutoscaler(policy, period_s=float(self.poll_s), name=self.name)


def candidates(*, minimum: int, maximum: int) -> list[Candidate]:
    """Return each combination of the first three settings, and the defaults with higher minimums."""
    chosen = [
        Candidate(poll_s=poll_s, scale_in_after_s=after_s, raced_percent=percent, minimum=minimum)
        for poll_s in POLL_S
        for after_s in SCALE_IN_AFTER_S
        for percent in RACED_PERCENT
    ]
    default = Candidate(minimum=minimum)
    fuller = [replace(default, minimum=minimum + more) for more in MORE_WORKERS if minimum + more <= maximum]
    return list(dict.fromkeys((default, *chosen, *fuller)))


def front_settings() -> dict[str, Candidate]:
    """Return settings from which an operator can choose, each named by what it changes."""
    default = Candidate(minimum=0)
    return {
        "defaults": default,
        "PollSeconds 15": replace(default, poll_s=15),
        "PollSeconds 60": replace(default, poll_s=60),
        "ScaleInAfterSeconds 60": replace(default, scale_in_after_s=60),
        "ScaleInAfterSeconds 180": replace(default, scale_in_after_s=180),
        "RacedBootsPercent 35": replace(default, raced_percent=35),
        "RacedBootsPercent 75": replace(default, raced_percent=75),
        "WorkerMin 1": replace(default, minimum=1),
        "WorkerMin 3": replace(default, minimum=3),
    }


def recommended(results: Sequence[Result], *, wait_s: float) -> Result:
    """Return the cheapest result with a 95 % quantile of waits within `wait_s`, or else the one with the shortest.

    A result with killed or unfinished tasks is never recommended; `results` must contain another one.
    """
    sound = [result for result in results if not result.killed and result.completed == result.tasks]
    within = [result for result in sound if result.wait_p95 <= wait_s]
    if within:
        return min(within, key=lambda result: (result.worker_hours, result.wait_p95))
    return min(sound, key=lambda result: (result.wait_p95, result.worker_hours))


def frontier(results: Sequence[Result]) -> list[Result]:
    """Return the results that no other one beats in both cost and wait, the cheapest first."""
    best: list[Result] = []
    for result in sorted(results, key=lambda result: (result.worker_hours, result.wait_p95)):
        if not best or result.wait_p95 < best[-1].wait_p95:
            best.append(result)
    return best
