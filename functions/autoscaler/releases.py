"""Remembers for which workers desired was lowered."""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.observation import Fleet
from fleet.registry import MEMBER_TTL_S

# ECS acts on a lower desired within seconds, an idle worker ends within 10 s, the registry forgets it after its TTL.
RELEASE_HOLDS_S = MEMBER_TTL_S + 30.0


def still_released(released: Mapping[str, float], fleet: Fleet, *, now: float) -> dict[str, float]:
    """The released workers but those that ECS must have spared by now, or that somebody recalled nevertheless.

    One that is not seen stays released: were it seen once more, it would be released twice.
    """
    if not released:
        return {}
    back = {worker.id for worker in fleet.workers if worker.id in released and not worker.may_be_stopped}
    return {worker: at for worker, at in released.items() if worker not in back and 0 <= now - at < RELEASE_HOLDS_S}
