"""ECS's limit on launches of tasks."""

from __future__ import annotations

BURST = 100  # tasks, of an account in a region
REFILL_PER_S = 20.0


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
