"""Launches and boots of workers: when ECS launches them, what a boot takes until the worker can consume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

# Measured: 40-90 s from the pull of a 400-900 MB image until the Celery worker is ready; the launch is included here.
MEDIAN_S = 60.0
P95_S = 110.0
Z_95 = 1.6449  # the standard normal's 95 % quantile
TOGETHER_S = 300.0  # correlated boots that are launched within this time are alike
# Fargate's quota of launches, an account and region. Source: ECS Developer Guide, "AWS Fargate throttling quotas".
BURST = 100  # launches at once
REFILL_PER_S = 20.0  # sustained launches
# What a boot moves: the compressed image, pulled anew by each worker, because Fargate keeps no image. Measured: the
# image that `make image` builds.
IMAGE_GB = 0.198
# Price of a GB through a NAT gateway, us-east-1. Source: aws.amazon.com/vpc/pricing, "NAT gateway pricing". Layers come
# from S3: through the S3 endpoint that the template creates in its own network they cost nothing.
NAT_USD_A_GB = 0.045


@dataclass(frozen=True, kw_only=True)
class Boots:
    """The distribution of boot times: log-normal."""

    median_s: float = MEDIAN_S  # its median in seconds
    p95_s: float = P95_S  # its 95 % quantile in seconds
    # The share of the variance (of the logarithm) that all boots of the same five minutes have in common, as when an
    # image registry is slow.
    correlated: float = 0.0
    failing: float = 0.0  # the probability that a worker ends at the end of its boot instead of consuming

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
    """The boots of one trial. With the same seed the n-th boot takes equally long under every policy."""

    def __init__(self, boots: Boots, *, seed: int) -> None:
        self._boots = boots
        self._seed = seed
        self._dice = Random(f"boots {seed}")

    def next(self, *, launched_at: float) -> Boot:
        """Draw the next boot."""
        own, fate = self._dice.gauss(0, 1), self._dice.random()
        boots = self._boots
        z = own
        if boots.correlated:
            shared = Random(f"weather {self._seed} {launched_at // TOGETHER_S}").gauss(0, 1)
            z = math.sqrt(boots.correlated) * shared + math.sqrt(1 - boots.correlated) * own
        return Boot(takes_s=boots.median_s * math.exp(boots.sigma * z), fails=fate < boots.failing)


class LaunchBucket:
    """ECS's limit on launches: a token bucket that starts full. A launch without a token waits for one.

    `late`: how many launches had to wait. `latest_s`: the longest of these waits.
    """

    __slots__ = ("_per_s", "_tokens", "_updated_at", "burst", "late", "latest_s")

    def __init__(self, *, burst: float = BURST, per_s: float = REFILL_PER_S) -> None:
        self.burst, self._per_s = burst, per_s
        self._tokens, self._updated_at = float(burst), 0.0
        self.late, self.latest_s = 0, 0.0

    def take(self, now: float) -> float:
        """Take a token; return the time of a launch that is requested now."""
        self._tokens = min(self.burst, self._tokens + (now - self._updated_at) * self._per_s)
        self._updated_at = now
        self._tokens -= 1
        if self._tokens >= 0:
            return now
        wait_s = -self._tokens / self._per_s
        self.late += 1
        self.latest_s = max(self.latest_s, wait_s)
        return now + wait_s
