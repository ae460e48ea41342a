"""The limits and settings of a pool's scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`minimum`, `maximum`: workers. `concurrency`: slots per worker; of `declared_slots`, if memory limits them.

    `scale_in_after_s`: how long a surplus must last before workers drain. `max_step_out`: workers that one tick may
    add, None without a limit. `boots_per_task`: workers launched per task that waits without a slot.
    `racing_budget`: what this may cost, as a share of what the pool's workers cost, see `racing`.
    `max_age_s`: age above which workers are replaced, None without a limit, see `retirement`.
    """

    minimum: int
    maximum: int
    concurrency: int
    scale_in_after_s: float = 0.0
    max_step_out: int | None = None
    boots_per_task: float = 0.0
    racing_budget: float = 0.0
    max_age_s: float | None = None
    declared_slots: int | None = None

    @property
    def asleep(self) -> Policy:
        """The policy of a pool that sleeps: no workers, at once. Present workers drain as always."""
        return replace(self, minimum=0, maximum=0, scale_in_after_s=0.0)

    def with_share(self, share: float) -> Policy:
        """Return the policy for workers that use this share of their slots."""
        concurrency = max(1, round(self.concurrency * share))
        if concurrency >= self.concurrency:
            return self
        return replace(self, concurrency=concurrency, declared_slots=self.concurrency)


def workers_needed(demand: int, policy: Policy) -> int:
    """Return ceil(demand / concurrency), at least the minimum, at most the maximum."""
    return min(policy.maximum, max(policy.minimum, -(-demand // policy.concurrency)))
