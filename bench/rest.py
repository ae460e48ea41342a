"""Tells when looking again could only repeat the last decision."""

from __future__ import annotations

from dataclasses import replace

from autoscaler.boots import Boots
from autoscaler.decide import Decision
from autoscaler.demand import Sight, remember
from autoscaler.forewarning import NOTHING, expected
from autoscaler.memory import Memory
from autoscaler.observation import Observation, Service, Unreadable
from fleet.foretold import Forecast


def is_at_rest(observation: Observation, decision: Decision) -> bool:
    """Whether every later look decides the same and changes nothing, for as long as it sees nothing new but the time.

    Of what is foretold, `awaits_run` has to be asked each time. Else `decide` knows of times from its memory. That
    holds none but those of the sights, which count only when messages wait, and none does; a field that the memory may
    get some day has to be as it is in a new memory.
    """
    queued, service, memory = observation.queued, observation.service, decision.memory
    if isinstance(queued, Unreadable) or not isinstance(service, Service):
        return False
    if sum(queued.values()) or decision.drain or decision.recall or decision.desired != service.desired:
        return False
    if awaits_run(observation.forecast, memory, now=observation.now):
        return False
    return memory == Memory(sights=memory.sights, boots=Boots(took_s=memory.boots.took_s))


def awaits_run(forecast: Forecast | None, memory: Memory, *, now: float) -> bool:
    """Whether a run is foretold so near that a decision counts with it."""
    if not forecast:
        return False
    return expected(forecast, now=now, lead_s=memory.boots.lead_s) != NOTHING


def after_rest(memory: Memory, *, until: float) -> Memory:
    """What `decide` remembers after having looked for so long. Of equal sights, the last is all that counts later."""
    return replace(memory, sights=remember(memory.sights, Sight(at=until, demand=memory.sights[-1].demand)))
