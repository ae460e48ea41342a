"""Capacity provider strategies: which ECS refuses, and on which provider the next task goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local.aws.ecs.errors import InvalidParameter

Strategy = Sequence[Mapping[str, Any]]
# Members of the API: of services, of both, of tasks.
STRATEGY, LAUNCH_TYPE, PROVIDER = "capacityProviderStrategy", "launchType", "capacityProviderName"


def check_capacity(request: Mapping[str, Any], *, associated: Sequence[str]) -> None:
    """Raises InvalidParameter for what CreateService, UpdateService and RunTask do not take."""
    strategy: Strategy = request.get(STRATEGY) or ()
    if not strategy:
        return
    if request.get(LAUNCH_TYPE):
        raise InvalidParameter("Specifying both a launch type and capacity provider strategy is not supported.")
    if strangers := sorted({item["capacityProvider"] for item in strategy} - set(associated)):
        raise InvalidParameter(f"Capacity providers that are not associated with the cluster: {', '.join(strangers)}")
    if not any(item.get("weight") for item in strategy):
        raise InvalidParameter("At least one capacity provider must have a weight above 0.")
    if sum(bool(item.get("base")) for item in strategy) > 1:
        raise InvalidParameter("Only one capacity provider can have a base.")


def next_provider(strategy: Strategy, *, placed: Mapping[str, int]) -> str:
    """The base comes first; beyond it each provider gets tasks in proportion to its weight. `placed`: tasks by name."""
    shares: dict[str, float] = {}
    for item in strategy:
        name, base, weight = item["capacityProvider"], item.get("base") or 0, item.get("weight") or 0
        beyond = placed.get(name, 0) - base
        if beyond < 0:
            return str(name)
        if weight:
            shares[name] = (beyond + 1) / weight
    return min(shares, key=lambda name: shares[name])
