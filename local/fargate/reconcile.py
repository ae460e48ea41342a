"""Decides which tasks of a service ECS would start and stop, by count, rolling deployment and scale-in; pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """A task that is neither stopped nor stopping."""

    arn: str
    deployment: str
    running: bool
    protected: bool


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """A service as the control plane describes it; percentages as in its deployment configuration."""

    name: str
    desired: int
    primary: str
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many tasks of the primary deployment to start, and which tasks to stop."""

    start: int
    stop: tuple[str, ...]


def plan(service: ServiceView, tasks: tuple[TaskView, ...], rng: random.Random) -> Plan:
    """Return the next step towards `desired` tasks of the primary deployment.

    Protected tasks are never stopped. Otherwise the choice is arbitrary, as on ECS, which balances zones and does not
    prefer idle tasks: code that relies on idle tasks being chosen must fail here, too.
    """
    current = [t for t in tasks if t.deployment == service.primary]
    old = [t for t in tasks if t.deployment != service.primary]
    ceiling = max(service.desired, math.floor(service.desired * service.maximum_percent / 100))
    start = max(0, min(service.desired - len(current), ceiling - len(tasks)))

    stop = _choose(current, len(current) - service.desired, rng)
    running = sum(t.running for t in tasks)
    floor = math.ceil(service.desired * service.minimum_healthy_percent / 100)
    spare = running - len(stop) - floor
    replaced = min(len(old), max(0, spare))
    # Old tasks that never ran have no work and do not count.
    stop += [t.arn for t in old if not t.running and not t.protected]
    stop += _choose([t for t in old if t.running], replaced, rng)
    return Plan(start=start, stop=tuple(stop))


def _choose(tasks: list[TaskView], count: int, rng: random.Random) -> list[str]:
    free = sorted(t.arn for t in tasks if not t.protected)
    return rng.sample(free, min(max(0, count), len(free)))
