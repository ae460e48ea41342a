"""Runs all comparisons of the report.

Loads are split: one half may be used for tuning, the other only reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.loads.cron_load import cron_load
from bench.loads.load import Load
from bench.policies.candidates import front_settings
from bench.policies.catalog import FASTER_MWAA, MAKERS, MWAA_TODAY, OURS, OURS_FORECAST, Maker, makers_for
from bench.policies.experiment import Result, compare
from bench.report.scenarios import OTHER_LOADS, SCENARIOS, Scenario
from bench.sim.trial import Setting

CONCURRENCIES = (4, 8, 16)
SCENARIO_SLOTS = FRONT_SLOTS = 16
HELD_OUT_SEED = 4  # generates DAGs that no setting was ever chosen by
# The policies of the scenarios: the best of the peers that kill no tasks, and this autoscaler's two.
SCENARIO_POLICIES = (MWAA_TODAY, FASTER_MWAA, OURS, OURS_FORECAST)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results of policies under a load with `tasks` tasks and workers of `slots` slots.

    `held_out`: the load was never used for tuning.
    """

    load: str
    tasks: int
    has_schedule: bool
    slots: int
    results: Sequence[Result]
    held_out: bool = False

    def of(self, policy: str) -> Result:
        """Return a policy's result. Raises StopIteration when the policy was not compared."""
        return next(result for result in self.results if result.policy == policy)

    @property
    def title(self) -> str:
        mark = ", never used for tuning" if self.held_out else ""
        return f"{self.load}{mark}, {self.tasks:,} tasks, {self.slots} slots a worker"

    @property
    def base(self) -> Result:
        return self.of(MWAA_TODAY)


@dataclass(frozen=True, kw_only=True)
class ScenarioResult:
    """The results of a few policies in a scenario."""

    name: str
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Suite:
    """All results. `fronts`: those of some settings of this autoscaler, on loads never used for tuning."""

    seeds: int
    comparisons: Sequence[Comparison]
    fronts: Sequence[Comparison]
    scenarios: Sequence[ScenarioResult]
    other_loads: Sequence[ScenarioResult]
    scenario_days: int

    @property
    def everywhere(self) -> list[Comparison]:
        return [*self.comparisons, *self.fronts, *(each.comparison for each in (*self.scenarios, *self.other_loads))]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much to simulate: seeds, days of the generated load and of the scenarios, slots a worker, processes."""

    seeds: int
    days: int
    scenario_days: int
    concurrencies: Sequence[int]
    processes: int


def run_suite(
    traces: Sequence[Load], *, extent: Extent, say: Callable[[str], None], show: Callable[[str, Comparison], None]
) -> Suite:
    """Simulate everything. `say` is called with the next title, `show` with each title and its comparison when done."""
    seeds = range(1, extent.seeds + 1)
    comparisons = []
    fronts = []
    for load, held_out in split_loads(traces, extent):
        for slots in extent.concurrencies:
            say(f"{load.name}, {slots} slots a worker")
            setting = Setting(slots=slots, minimum=0)
            results = compare(makers_for(load), load=load, setting=setting, seeds=seeds, processes=extent.processes)
            comparisons.append(_comparison(load, slots, results, held_out=held_out))
            show(comparisons[-1].title, comparisons[-1])
        if held_out:
            say(f"{load.name}, some settings")
            setting = Setting(slots=FRONT_SLOTS, minimum=0)
            makers: dict[str, Maker] = {name: candidate.make for name, candidate in front_settings().items()}
            makers |= {name: make for name, make in makers_for(load).items() if name in (MWAA_TODAY, OURS_FORECAST)}
            results = compare(makers, load=load, setting=setting, seeds=seeds, processes=extent.processes)
            fronts.append(_comparison(load, FRONT_SLOTS, results, held_out=True))
            show(f"Settings: {fronts[-1].title}", fronts[-1])

    def varied(scenario: Scenario) -> ScenarioResult:
        title = f"cron, {scenario.name}"
        say(title)
        load, setting = scenario.load(days=extent.scenario_days), Setting(slots=SCENARIO_SLOTS, minimum=0)
        policies = {name: MAKERS[name] for name in SCENARIO_POLICIES}
        results = compare(
            policies, load=load, setting=scenario.setting(setting), seeds=seeds, processes=extent.processes
        )
        comparison = _comparison(load, SCENARIO_SLOTS, results)
        show(title, comparison)
        return ScenarioResult(name=scenario.name, comparison=comparison)

    return Suite(
        seeds=extent.seeds,
        comparisons=comparisons,
        fronts=fronts,
        scenarios=[varied(scenario) for scenario in SCENARIOS],
        other_loads=[varied(scenario) for scenario in OTHER_LOADS],
        scenario_days=extent.scenario_days,
    )


def split_loads(traces: Sequence[Load], extent: Extent) -> Iterator[tuple[Load, bool]]:
    """Yield each load, and whether it is held out from tuning: other DAGs, and the second half of each trace."""
    yield cron_load(days=extent.days), False
    held_out = cron_load(seed=HELD_OUT_SEED, days=extent.scenario_days)
    yield replace(held_out, name=f"{held_out.name}, other DAGs"), True
    for trace in traces:
        first, second = trace.halves()
        yield first, False
        yield second, True


def _comparison(load: Load, slots: int, results: Sequence[Result], *, held_out: bool = False) -> Comparison:
    return Comparison(
        load=load.name,
        tasks=len(load),
        has_schedule=load.calendar is not None,
        slots=slots,
        results=results,
        held_out=held_out,
    )
