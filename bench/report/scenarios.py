"""Scenarios: each changes one condition of the simulation, or one property of its load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.loads.cron_dag import USUAL, Habits
from bench.loads.cron_load import cron_load
from bench.loads.load import Load
from bench.loads.schedule import Calendar
from bench.sim.boots import MEDIAN_S, P95_S, Boots
from bench.sim.forecaster import ForecastError
from bench.sim.trial import Setting


def _same(calendar: Calendar) -> Calendar:
    return calendar


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One changed condition."""

    name: str  # its name in reports
    change: dict[str, object] = field(default_factory=dict)  # fields of Setting to replace, by name
    calendar: Callable[[Calendar], Calendar] = _same  # returns the part of the schedule that is known
    seed: int = 1  # the load's seed
    habits: Habits = USUAL  # the load's habits

    def setting(self, base: Setting) -> Setting:
        return replace(base, **self.change)  # type: ignore[arg-type]

    def load(self, *, days: int) -> Load:
        load = cron_load(seed=self.seed, days=days, habits=self.habits)
        return replace(load, calendar=load.calendar and self.calendar(load.calendar))


FIFTH_UNKNOWN, WITHHELD = "a fifth of the DAGs unknown", "schedule withheld"
SCENARIOS = (
    Scenario(name="none"),
    Scenario(name="boots constant", change={"boots": Boots(p95_s=MEDIAN_S)}),
    Scenario(name="boots alike within 5 min", change={"boots": Boots(correlated=1.0)}),
    Scenario(name="boots twice as long", change={"boots": Boots(median_s=2 * MEDIAN_S, p95_s=2 * P95_S)}),
    Scenario(name="a tenth of the boots fails", change={"boots": Boots(failing=0.1)}),
    Scenario(name="a tenth of the ticks lost", change={"lost_ticks": 0.1}),
    Scenario(name="launches: 10 at once, 2/s", change={"launch_burst": 10.0, "launch_per_s": 2.0}),
    Scenario(name="forecast twice too high", change={"forecast_error": ForecastError(factor=2.0)}),
    Scenario(name="forecast half of what comes", change={"forecast_error": ForecastError(factor=0.5)}),
    Scenario(name="forecast 10 min stale", change={"forecast_error": ForecastError(behind_s=600.0)}),
    Scenario(name="a fifth more runs forecast", calendar=lambda calendar: calendar.with_missed_runs(0.2)),
    Scenario(name=FIFTH_UNKNOWN, calendar=lambda calendar: calendar.with_share_known(0.8)),
    Scenario(name=WITHHELD, calendar=lambda calendar: calendar.with_share_known(0.0)),
)
# The load is generated, so the report shows how the figures change with other generated loads.
OTHER_LOADS = (
    Scenario(name="other DAGs", seed=2),
    Scenario(name="other DAGs again", seed=3),
    Scenario(name="tasks twice as long", habits=Habits(longer=2.0)),
    Scenario(name="fan-outs less than half as wide", habits=Habits(wider=0.4)),
    Scenario(name="half of the DAGs at the full hour", habits=Habits(on_the_hour=0.5)),
    Scenario(name="no limit of a run's tasks at once", habits=Habits(most_at_once=1_000_000)),
)
