"""What a forecast asks of the fleet now."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoscaler.boots import Boots
from fleet.forecast import FORECAST_TTL_S, Forecast

# A run's tasks come some seconds after it was due, and its later stages vary more. For so long slots are held, then
# reality is the measure.
HELD_AFTER_S = 20.0
# So long before a run, draining workers are called back: an order is obeyed in 2 s, a look comes each 5 s or 15 s.
RECALLED_BEFORE_S = 20.0
# Of what is expected within it, so much is opened ahead in full: a run's tasks at once, Airflow's default for a DAG. Of
# what is beyond, a share: it is a mean over DAGs, and each worker that is opened for too much is held by a few tasks.
# The rest is started, waits drained, and is called back within a look when tasks have come.
OPENED_IN_FULL, OPENED_BEYOND = 16, 0.2
# The forecaster awaits a run that the scheduler has not created for so long, and no longer.
AWAITED_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Slots wanted beyond what waits and runs.

    `launch_slots`: those expected within a boot's time; `hold_slots`: the same with those that were expected just now,
    whose tasks may have come or not; `open_slots`: those so near that workers must take messages, of
    many only a part.
    """

    launch_slots: int = 0
    hold_slots: int = 0
    open_slots: int = 0


def expected_slots(forecast: Forecast | None, boots: Boots, *, now: float) -> Expected:
    """Of pairs of a time (Redis's, in seconds) and the slots more that are expected from then on, ascending; nothing of
    none. A boot's time is `boots`'.
    """
    if not forecast:
        return Expected()
    coming = [(at, slots) for at, slots in forecast if now - HELD_AFTER_S < at <= now + boots.lead_s]
    return Expected(
        launch_slots=sum(slots for at, slots in coming if at > now),
        hold_slots=sum(slots for _, slots in coming),
        open_slots=_opened_ahead(sum(slots for at, slots in coming if at <= now + RECALLED_BEFORE_S)),
    )


def _opened_ahead(slots: int) -> int:
    return min(slots, OPENED_IN_FULL) + math.ceil(OPENED_BEYOND * max(0, slots - OPENED_IN_FULL))


def is_out_of_date(forecast: Forecast, *, now: float) -> bool:
    """Its last run was due before its writer's previous words could still have been stored: clocks differ."""
    return bool(forecast) and max(at for at, _ in forecast) < now - AWAITED_S - FORECAST_TTL_S
