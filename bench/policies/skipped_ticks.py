"""Tells how long looking again could only repeat the last decision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoscaler.boots import CANCEL_AFTER_S
from autoscaler.decide import Decision
from autoscaler.desired import STOPPING_HOLDS_S
from autoscaler.estimates import WINDOW_S, DemandSample, add_sample
from autoscaler.forecast import Expected, expected_slots
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Unreadable
from fleet.forecast import Forecast

# Of times that are compared in another way than `decide` does it, the last digits may differ.
ROUNDING_S = 0.001


@dataclass(frozen=True, kw_only=True)
class QuietPeriod:
    """Every tick decides the same before the time `until`, as long as it sees nothing new but the time, and as long as
    what is foretold makes `decide` expect the same.
    """

    until: float
    expected: Expected

    def lasts(self, forecast: Forecast | None, memory: Memory, *, now: float) -> bool:
        if now >= self.until:
            return False
        present = expected_slots(forecast, memory.boots, now=now)
        return present is self.expected or present == self.expected  # comparing what is equal takes its time


def quiet_period_after(observation: Observation, memory: Memory, decision: Decision) -> QuietPeriod | None:
    """None when a tick could do more than to repeat the decision, which was made with `memory`.

    It repeats one that changed neither a worker, nor desired, nor for whom desired is lowered: whatever else a decision
    remembers, it knew when it was made. Only times can make a difference then, see `_change_times`. A surplus that
    awaits its time, and what the lists' heads are, are left to the looks.
    """
    fleet, service, after = observation.fleet, observation.service, decision.memory
    if isinstance(observation.queued, Unreadable) or isinstance(fleet, Unreadable) or isinstance(service, Unreadable):
        return None
    if decision.drain or decision.recall or decision.desired != service.desired:
        return None
    if after.surplus_since is not None or after.heads or not after.stopping.keys() <= memory.stopping.keys():
        return None
    turns = _change_times(fleet, after, queued=sum(observation.queued.values()))
    return QuietPeriod(
        until=min([turn for turn in turns if turn > observation.now - ROUNDING_S], default=math.inf) - ROUNDING_S,
        expected=expected_slots(observation.forecast, after.boots, now=observation.now),
    )


def memory_after_quiet_period(memory: Memory, *, until: float) -> Memory:
    """What `decide` remembers after having looked for so long. Of equal sights, the last is all that counts later."""
    return replace(memory, samples=add_sample(memory.samples, DemandSample(at=until, demand=memory.samples[-1].demand)))


def _change_times(fleet: Fleet, memory: Memory, *, queued: int) -> Iterator[float]:
    """Times at which `decide` compares the present with what it remembers, and finds something else than before.

    A release that has held for long enough makes a difference while its worker is still shown, a boot when its first
    minute is paid. Tasks that ended count for a minute, and only when messages wait.
    """
    if memory.stopping:
        yield from (memory.stopping[w.id] + STOPPING_HOLDS_S for w in fleet.workers if w.id in memory.stopping)
    yield from (launch.at + CANCEL_AFTER_S for launch in memory.boots.launches)
    if queued:
        pairs = itertools.pairwise(memory.samples)
        yield from (before.at + WINDOW_S for before, after in pairs if after.demand < before.demand)
