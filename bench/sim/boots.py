"""How long workers take from their launch until they could consume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

# Measured from the pull of a 400-900 MB image to a Celery worker that is ready: 40-90 s; with the launch before it.
MEDIAN_S = 60.0
P95_S = 110.0
Z_95 = 1.6449  # the standard normal's 95 % quantile
TOGETHER_S = 300.0  # correlated boots: those launched within this time are alike
BURST = 100  # tasks, of an account in a region
REFILL_PER_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Boots:
    """Log-normal by median and 95 % quantile in seconds.

    `correlated`: the share of the spread (of the logarithm's standard deviation) that all boots of the same five
    minutes have in common, as when a registry is slow. `failing`: the probability that a task ends at the end of its
    boot instead of consuming.
    """

    median_s: float = MEDIAN_S
    p95_s: float = P95_S
    correlated: float = 0.0
    failing: float = 0.0

    @property
    def sigma(self) -> float:
        return math.log(self.p95_s / self.median_s) / Z_95

    @property
    def mean_s(self) -> float:
        return self.median_s * math.exp(self.sigma**2 / 2)


@dataclass(frozen=True, kw_only=True)
class Boot:
    takes_s: float
    fails: bool


class BootSequence:
    """The boots of one trial. The n-th takes as long under every policy, given the same seed."""

    def __init__(self, boots: Boots, *, seed: int) -> None:
        self._boots = boots
        self._seed = seed
        self._dice = Random(f"boots {seed}")

    def next(self, *, launched_at: float) -> Boot:
        own, fate = self._dice.gauss(0, 1), self._dice.random()
        boots = self._boots
        z = own
        if boots.correlated:
            shared = Random(f"weather {self._seed} {launched_at // TOGETHER_S}").gauss(0, 1)
            z = math.sqrt(boots.correlated) * shared + math.sqrt(1 - boots.correlated) * own
        return Boot(takes_s=boots.median_s * math.exp(boots.sigma * z), fails=fate < boots.failing)


class LaunchBucket:
    """A token bucket that starts full; a launch that finds it empty waits for its token."""

    __slots__ = ("_per_s", "_tokens", "_updated_at", "burst")

    def __init__(self, *, burst: float = BURST, per_s: float = REFILL_PER_S) -> None:
        self.burst, self._per_s = burst, per_s
        self._tokens, self._updated_at = float(burst), 0.0

    def take(self, now: float) -> float:
        """The time at which a task that is asked for now is launched."""
        self._tokens = min(self.burst, self._tokens + (now - self._updated_at) * self._per_s)
        self._updated_at = now
        self._tokens -= 1
        return now if self._tokens >= 0 else now - self._tokens / self._per_s
