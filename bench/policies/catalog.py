"""The policies to compare, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autoscaler.policy import Policy
from autoscaler.settings import (
    HOUR_S,
    MAX_AGE_DEFAULT_HOURS,
    POLL_SECONDS_DEFAULT,
    RACED_BOOTS_DEFAULT_PERCENT,
    RACING_BUDGET_DEFAULT_PERCENT,
    SCALE_IN_AFTER_DEFAULT_S,
)
from bench.loads.load import Load
from bench.policies.aws_rules import Mwaa2023, MwaaToday, TargetTracking
from bench.policies.open_source_rules import CeleryEcsAutoscaler, Keda
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.policies.peer import StaticPeak
from bench.sim.forecaster import Forecaster
from bench.sim.pool import Scaler
from bench.sim.trial import Setting

OURS = "ours"
OURS_FORECAST = "ours-forecast"
MWAA_TODAY = MwaaToday.name
FASTER_MWAA = f"{MWAA_TODAY} {POLL_SECONDS_DEFAULT} s"
MWAA_2023 = Mwaa2023.name
Maker = Callable[[Load, Setting], Scaler]
MAKERS: Mapping[str, Maker] = {
    OURS: lambda _, setting: own_autoscaler(setting),
    OURS_FORECAST: lambda load, setting: own_autoscaler(
        setting, name=OURS_FORECAST, forecaster=forecaster_of(load, setting)
    ),
    MWAA_TODAY: lambda *_: MwaaToday(),
    FASTER_MWAA: lambda *_: _faster_mwaa(),
    MWAA_2023: lambda *_: Mwaa2023(),
    Keda.name: lambda *_: Keda(),
    TargetTracking.name: lambda *_: TargetTracking(),
    CeleryEcsAutoscaler.name: lambda *_: CeleryEcsAutoscaler(),
    StaticPeak.name: lambda load, setting: StaticPeak(load, slots=setting.slots),
}


def makers_for(load: Load) -> dict[str, Maker]:
    """Return the policies that can run under the load: one that forecasts needs a schedule."""
    return {name: make for name, make in MAKERS.items() if name != OURS_FORECAST or load.calendar is not None}


def forecaster_of(load: Load, setting: Setting) -> Forecaster:
    """Return a forecaster for the load. Raises ValueError when the load has no schedule."""
    if load.calendar is None:
        raise ValueError(f"{load.name} has no schedule to forecast from")
    return Forecaster(load.calendar, error=setting.forecast_error)


def own_autoscaler(
    setting: Setting,
    *,
    poll_s: float = POLL_SECONDS_DEFAULT,
    name: str = OURS,
    forecaster: Forecaster | None = None,
) -> OwnAutoscaler:
    """Return the autoscaler with the template's defaults."""
    return OwnAutoscaler(default_policy(setting), period_s=poll_s, name=name, forecaster=forecaster)


def default_policy(setting: Setting) -> Policy:
    """Return the template's defaults, with the pool's limits that all policies share."""
    return Policy(
        minimum=setting.minimum,
        maximum=setting.maximum,
        concurrency=setting.slots,
        scale_in_after_s=SCALE_IN_AFTER_DEFAULT_S,
        boots_per_task=RACED_BOOTS_DEFAULT_PERCENT / 100,
        racing_budget=RACING_BUDGET_DEFAULT_PERCENT / 100,
        max_age_s=MAX_AGE_DEFAULT_HOURS * HOUR_S,
    )


def make(name: str, load: Load, setting: Setting) -> Scaler:
    """Return a new policy. Raises KeyError when the name is unknown."""
    return MAKERS[name](load, setting)


def _faster_mwaa() -> MwaaToday:
    """Return MWAA's rule with this autoscaler's period, to separate the effect of the period from that of the rule."""
    scaler = MwaaToday(period_s=POLL_SECONDS_DEFAULT)
    scaler.name = FASTER_MWAA
    return scaler
