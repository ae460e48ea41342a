"""Tells when looking again could only repeat the last decision."""

from __future__ import annotations

from dataclasses import replace

from autoscaler.boots import Boots
from autoscaler.decide import Decision
from autoscaler.demand import Sight, remember
from autoscaler.memory import Memory
from autoscaler.observation import Observation, Service, Unreadable


def is_at_rest(observation: Observation, decision: Decision) -> bool:
    """Whether every later look decides the same and changes nothing, for as long as it sees nothing new but the time.

    `decide` knows of times from two sources. A forecast: there is none. Its memory: that holds none but those of
    the sights, which count only when messages wait, and none does. A field that the memory may get is no exception:
    it has to be as it is in a new memory.
    """
    queued, service, memory = observation.queued, observation.service, decision.memory
    if isinstance(queued, Unreadable) or not isinstance(service, Service):
        return False
    is_waited_for = sum(queued.values()) > 0 or bool(observation.forecast)
    is_changing = bool(decision.drain or decision.recall) or decision.desired != service.desired
    timeless = Memory(sights=memory.sights, boots=Boots(took_s=memory.boots.took_s))
    return not is_waited_for and not is_changing and memory == timeless


def after_rest(memory: Memory, *, until: float) -> Memory:
    """What `decide` remembers after having looked for so long. Of equal sights, the last is all that counts later."""
    return replace(memory, sights=remember(memory.sights, Sight(at=until, demand=memory.sights[-1].demand)))
