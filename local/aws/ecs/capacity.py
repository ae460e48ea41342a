"""Capacity provider strategies: which ones ECS refuses, and which provider gets the next task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local.aws.ecs.errors import InvalidParameter

Strategy = Sequence[Mapping[str, Any]]
# Members of the API: of services, of both, of tasks.
STRATEGY, LAUNCH_TYPE, PROVIDER = "capacityProviderStrategy", "launchType", "capacityProviderName"


def check_capacity(request: Mapping[str, Any], *, associated: Sequence[str]) -> None:
    """Raise InvalidParameter for a request that CreateService, UpdateService and RunTask refuse."""
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
    """Return the provider for the next task: first the base, then by weight. `placed` are tasks by provider."""
    shares: dict[str, float] = {}
    for item in strategy:
        name, base, weight = item["capacityProvider"], item.get("base") or 0, item.get("weight") or 0
        beyond = placed.get(name, 0) - base
        if beyond < 0:
            return str(name)
        if weight:
            shares[name] = (beyond + 1) / weight
    return min(shares, key=lambda name: shares[name])
