"""Determines for how long further ticks could only repeat the last decision, so that the simulation can skip them."""

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
from autoscaler.racing import LONGEST_GAP_S
from autoscaler.retirement import age_limit_s
from fleet.forecast import Forecast

# `decide` compares times in another way, so the last digits may differ.
ROUNDING_S = 0.001


@dataclass(frozen=True, kw_only=True)
class QuietPeriod:
    """A period in which every tick decides the same.

    It ends at `until`, when an input other than the time changes, or when the forecast makes `decide` expect something
    else than `expected`.
    """

    until: float
    expected: Expected

    def lasts(self, forecast: Forecast | None, memory: Memory, *, now: float) -> bool:
        if now >= self.until:
            return False
        present = expected_slots(forecast, memory.boots, memory.samples, now=now)
        return present is self.expected or present == self.expected  # the first comparison saves time


def quiet_period_after(
    observation: Observation, memory: Memory, decision: Decision, *, max_age_s: float | None
) -> QuietPeriod | None:
    """Return the quiet period after the decision, which was made with `memory`; None if the next tick may differ.

    A decision is repeated if it changed no worker, not the desired count and not the stopping workers: it already knew
    everything else that it remembers. Then only the times of `_change_times` can make a difference. With a surplus that
    waits for its time, or with known heads of the queues, no tick is skipped.
    """
    fleet, service, after = observation.fleet, observation.service, decision.memory
    if isinstance(observation.queued, Unreadable) or isinstance(fleet, Unreadable) or isinstance(service, Unreadable):
        return None
    if decision.drain or decision.recall or decision.desired != service.desired:
        return None
    if after.surplus_since is not None or after.heads or not after.stopping.keys() <= memory.stopping.keys():
        return None
    times = _change_times(fleet, after, queued=sum(observation.queued.values()), max_age_s=max_age_s)
    return QuietPeriod(
        until=min([time for time in times if time > observation.now - ROUNDING_S], default=math.inf) - ROUNDING_S,
        expected=expected_slots(observation.forecast, after.boots, after.samples, now=observation.now),
    )


def memory_after_quiet_period(memory: Memory, *, until: float) -> Memory:
    """Return what `decide` would remember of the skipped ticks. Of equal samples, only the last one matters later."""
    return replace(memory, samples=add_sample(memory.samples, DemandSample(at=until, demand=memory.samples[-1].demand)))


def _change_times(fleet: Fleet, memory: Memory, *, queued: int, max_age_s: float | None) -> Iterator[float]:
    """Yield the times at which `decide` may draw another conclusion from what it remembers.

    A stopping worker counts again after a while if it is still in the registry. A boot can be canceled until its first
    minute is paid for. Ended tasks count for a minute, and only while messages are queued. Growth counts for a minute.
    Where boots race, what the workers cost between two ticks that are far apart does not count. A worker retires at its
    age.
    """
    if memory.stopping:
        yield from (memory.stopping[w.id] + STOPPING_HOLDS_S for w in fleet.workers if w.id in memory.stopping)
    yield from (launch.at + CANCEL_AFTER_S for launch in memory.boots.launches)
    if memory.racing.at:
        yield memory.racing.at + LONGEST_GAP_S
    demands = [sample.demand for sample in memory.samples]
    if demands and demands[-1] > min(demands):  # it has grown since one of them
        yield from (sample.at + WINDOW_S for sample in memory.samples)
    if queued:
        pairs = itertools.pairwise(memory.samples)
        yield from (before.at + WINDOW_S for before, after in pairs if after.demand < before.demand)
    if max_age_s is not None:
        yield from (worker.started_at + age_limit_s(worker.id, max_age_s) for worker in fleet.workers)
