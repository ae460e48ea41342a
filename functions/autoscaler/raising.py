"""Says how far desired rises."""

from __future__ import annotations

from autoscaler.crew import Crew
from autoscaler.observation import Service
from autoscaler.plan import Plan
from autoscaler.policy import Policy
from autoscaler.rollout import tasks_to_grant


def at_most_a_step(workers: int, service: Service, policy: Policy) -> int:
    """What is wanted, or as much of it as one look may add. The minimum is no demand, and is restored at once."""
    if policy.max_step_out is None:
        return workers
    return min(workers, max(policy.minimum, service.desired + policy.max_step_out))


def raised(crew: Crew, service: Service, plan: Plan, policy: Policy, *, needed: int) -> int:
    """Desired, or more: for what is wanted, for what is there already, for a rollout that needs room."""
    wanted = at_most_a_step(plan.workers, service, policy)
    return max(service.desired, wanted, _tasks_to_keep(crew, service), tasks_to_grant(crew, needed))


def _tasks_to_keep(crew: Crew, service: Service) -> int:
    """What desired must be at least, whoever set it lower.

    At most what runs: the registry shows a dead worker for a while, beside its replacement. Not in a rollout, where
    old and new stand side by side: each raise would start more new ones.
    """
    return 0 if service.is_rolling_out else min(crew.surely_staying, service.running)
