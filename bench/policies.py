"""The policies that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autoscaler.policy import Policy
from autoscaler.settings import POLL_SECONDS_DEFAULT, RACED_BOOTS_DEFAULT_PERCENT, SCALE_IN_AFTER_DEFAULT_S
from bench.load import Load
from bench.ours import Ours
from bench.peers.celery_ecs_autoscaler import CeleryEcsAutoscaler
from bench.peers.keda import Keda
from bench.peers.mwaa_2023 import Mwaa2023
from bench.peers.mwaa_today import MwaaToday
from bench.peers.static_peak import StaticPeak
from bench.peers.target_tracking import TargetTracking
from bench.site import Scaler
from bench.trial import Setting

OURS = "ours"
MWAA_TODAY = MwaaToday.name
MAKERS: Mapping[str, Callable[[Load, Setting], Scaler]] = {
    OURS: lambda _, setting: ours(setting),
    MWAA_TODAY: lambda *_: MwaaToday(),
    f"{MWAA_TODAY} {POLL_SECONDS_DEFAULT} s": lambda *_: _faster_mwaa(),
    Mwaa2023.name: lambda *_: Mwaa2023(),
    Keda.name: lambda *_: Keda(),
    TargetTracking.name: lambda *_: TargetTracking(),
    CeleryEcsAutoscaler.name: lambda *_: CeleryEcsAutoscaler(),
    StaticPeak.name: lambda load, setting: StaticPeak(load, slots=setting.slots),
}


def ours(setting: Setting, *, poll_s: float = POLL_SECONDS_DEFAULT, name: str = OURS) -> Ours:
    """The autoscaler with the template's defaults, but for the pool's limits, which all policies share."""
    policy = Policy(
        minimum=setting.minimum,
        maximum=setting.maximum,
        concurrency=setting.slots,
        scale_in_after_s=SCALE_IN_AFTER_DEFAULT_S,
        boots_per_task=RACED_BOOTS_DEFAULT_PERCENT / 100,
    )
    return Ours(policy, period_s=poll_s, name=name)


def make(name: str, load: Load, setting: Setting) -> Scaler:
    """A fresh policy; raises KeyError for an unknown name."""
    return MAKERS[name](load, setting)


def _faster_mwaa() -> MwaaToday:
    """MWAA with our period of looking, so that nobody takes faster looking for a better rule."""
    scaler = MwaaToday(period_s=POLL_SECONDS_DEFAULT)
    scaler.name = f"{MWAA_TODAY} {POLL_SECONDS_DEFAULT} s"
    return scaler
