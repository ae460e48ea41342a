"""What an operator sets of a pool's scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A pool's limits in workers, its slots a worker, and how long a surplus must last before it is given up.

    `max_step_out`: workers that one look may add; None sets no limit. `boots_per_task`: see `launching`.
    """

    minimum: int
    maximum: int
    concurrency: int
    scale_in_after_s: float = 0.0
    max_step_out: int | None = None
    boots_per_task: float = 0.0

    @property
    def asleep(self) -> Policy:
        """Of a pool that is put to sleep: no worker at all, and at once. Those that are there drain as always."""
        return replace(self, minimum=0, maximum=0, scale_in_after_s=0.0)


def workers_needed(demand: int, policy: Policy) -> int:
    """ceil(demand / concurrency), at least the minimum, at most the maximum."""
    return min(policy.maximum, max(policy.minimum, -(-demand // policy.concurrency)))
