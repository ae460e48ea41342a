"""All comparisons of one run of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.cron_load import cron_load
from bench.experiment import Result, compare
from bench.load import Load
from bench.policies import FASTER_MWAA, MAKERS, MWAA_TODAY, OURS, OURS_FORECAST, known
from bench.scenarios import SCENARIOS
from bench.trial import Setting

CONCURRENCIES = (4, 8, 16)
TROUBLED_SLOTS = 16
# Who is shown in trouble: the best of the peers that kill nothing, and both of ours.
TROUBLED = (MWAA_TODAY, FASTER_MWAA, OURS, OURS_FORECAST)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`tasks`: of the load. `has_schedule`: whether the load's schedule is known."""

    load: str
    tasks: int
    has_schedule: bool
    slots: int
    results: Sequence[Result]

    def of(self, policy: str) -> Result:
        """Raises StopIteration for one that was not compared."""
        return next(result for result in self.results if result.policy == policy)

    @property
    def base(self) -> Result:
        return self.of(MWAA_TODAY)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What a few policies make of a load when something goes wrong."""

    name: str
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Suite:
    seeds: int
    comparisons: Sequence[Comparison]
    troubles: Sequence[Trouble]
    troubled_days: int


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is simulated: seeds, days of the generated load, days of it in trouble, processes at once."""

    seeds: int
    days: int
    troubled_days: int
    processes: int


def run_suite(traces: Sequence[Load], *, extent: Extent, say: Callable[[str], None]) -> Suite:
    """`say` is told what is simulated next."""
    seeds = range(1, extent.seeds + 1)
    comparisons = []
    for load in (cron_load(days=extent.days), *traces):
        for slots in CONCURRENCIES:
            say(f"{load.name}, {slots} slots a worker")
            setting = Setting(slots=slots, minimum=0)
            results = compare(known(load), load=load, setting=setting, seeds=seeds, processes=extent.processes)
            comparisons.append(_comparison(load, slots, results))
    calm, setting, troubles = cron_load(days=extent.troubled_days), Setting(slots=TROUBLED_SLOTS, minimum=0), []
    for scenario in SCENARIOS:
        say(f"{calm.name}, what goes wrong: {scenario.name}")
        load = scenario.load(calm)
        results = compare(
            {name: MAKERS[name] for name in TROUBLED},
            load=load,
            setting=scenario.setting(setting),
            seeds=seeds,
            processes=extent.processes,
        )
        troubles.append(Trouble(name=scenario.name, comparison=_comparison(load, TROUBLED_SLOTS, results)))
    return Suite(seeds=extent.seeds, comparisons=comparisons, troubles=troubles, troubled_days=extent.troubled_days)


def _comparison(load: Load, slots: int, results: Sequence[Result]) -> Comparison:
    return Comparison(
        load=load.name, tasks=len(load), has_schedule=load.calendar is not None, slots=slots, results=results
    )
