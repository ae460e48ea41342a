"""Runs all comparisons of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.loads.cron_load import cron_load
from bench.loads.load import Load
from bench.policies.catalog import FASTER_MWAA, MAKERS, MWAA_TODAY, OURS, OURS_FORECAST, makers_for
from bench.policies.experiment import Result, compare
from bench.report.scenarios import OTHER_LOADS, SCENARIOS, Scenario
from bench.sim.trial import Setting

CONCURRENCIES = (4, 8, 16)
SCENARIO_SLOTS = 16
# The policies of the scenarios: the best of the peers that kill no tasks, and this autoscaler's two.
SCENARIO_POLICIES = (MWAA_TODAY, FASTER_MWAA, OURS, OURS_FORECAST)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results of all policies under a load with `tasks` tasks and workers of `slots` slots."""

    load: str
    tasks: int
    has_schedule: bool
    slots: int
    results: Sequence[Result]

    def of(self, policy: str) -> Result:
        """Return a policy's result. Raises StopIteration when the policy was not compared."""
        return next(result for result in self.results if result.policy == policy)

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
    seeds: int
    comparisons: Sequence[Comparison]
    scenarios: Sequence[ScenarioResult]
    other_loads: Sequence[ScenarioResult]
    scenario_days: int

    @property
    def everywhere(self) -> list[Comparison]:
        return [*self.comparisons, *(each.comparison for each in (*self.scenarios, *self.other_loads))]


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
    for load in (cron_load(days=extent.days), *traces):
        for slots in extent.concurrencies:
            title = f"{load.name}, {len(load):,} tasks, {slots} slots a worker"
            say(title)
            setting = Setting(slots=slots, minimum=0)
            results = compare(makers_for(load), load=load, setting=setting, seeds=seeds, processes=extent.processes)
            comparisons.append(_comparison(load, slots, results))
            show(title, comparisons[-1])

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
        scenarios=[varied(scenario) for scenario in SCENARIOS],
        other_loads=[varied(scenario) for scenario in OTHER_LOADS],
        scenario_days=extent.scenario_days,
    )


def _comparison(load: Load, slots: int, results: Sequence[Result]) -> Comparison:
    return Comparison(
        load=load.name, tasks=len(load), has_schedule=load.calendar is not None, slots=slots, results=results
    )
