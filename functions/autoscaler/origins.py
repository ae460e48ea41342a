"""Remembers which deployment started each task, so that ECS is asked about each only once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autoscaler.observation import Unreadable
from autoscaler.services import read_deployments


class Origins:
    """A task's deployment never changes. Kept between looks: DescribeTasks says so much that reading it takes longer
    than all the rest of a look. Only what was asked for last is kept, by pool.
    """

    def __init__(self, ecs: Any, *, cluster: str) -> None:
        self._ecs, self._cluster = ecs, cluster
        self._known: dict[str, Mapping[str, str]] = {}

    def read(self, *, pool: str, task_arns: Iterable[str]) -> Mapping[str, str] | Unreadable:
        """By task ARN; a task that ECS does not know is not in it, and is asked about again. Never raises for AWS."""
        asked = list(task_arns)
        known = self._known.get(pool, {})
        unknown = [arn for arn in asked if arn not in known]
        answer = read_deployments(self._ecs, cluster=self._cluster, task_arns=unknown)
        if isinstance(answer, Unreadable):
            return answer
        found = {**known, **answer}
        self._known[pool] = {arn: found[arn] for arn in asked if arn in found}
        return self._known[pool]
