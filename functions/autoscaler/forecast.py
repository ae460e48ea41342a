"""Turns a forecast into the slots that a pool should have now."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoscaler.boots import Boots
from fleet.forecast import FORECAST_TTL_S, Forecast

# A run's tasks come some seconds after it was due, and its later stages vary more. Its slots are held for this time
# after it was due; then the backlog decides.
HELD_AFTER_S = 20.0
# Draining workers are recalled this long before a run: an order is obeyed within 2 s, and ticks are 5 s or 15 s apart.
RECALLED_BEFORE_S = 20.0
# Of the slots expected this soon, the first are opened in full: the tasks of one run at once, Airflow's default for a
# DAG. Of those beyond, a share opens: a forecast is a mean over DAGs, and each surplus worker opened is held
# by a few tasks. The rest is launched, waits drained, and is recalled within a tick when tasks have come.
OPENED_IN_FULL, OPENED_BEYOND = 16, 0.2
# The forecaster awaits a run that the scheduler has not created for this long.
AWAITED_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Slots wanted beyond the demand.

    `launch_slots`: expected within a boot's time. `hold_slots`: these and those expected just now, whose tasks may have
    come or not. `open_slots`: expected so soon that workers must consume; of many only a part. `first_at`: when the
    first of them are due, None without any.
    """

    launch_slots: int = 0
    hold_slots: int = 0
    open_slots: int = 0
    first_at: float | None = None


def expected_slots(forecast: Forecast | None, boots: Boots, *, now: float) -> Expected:
    """Sum the slots that are expected from just now until a worker launched now would consume.

    A forecast holds pairs of a time (Redis's, in seconds since the epoch) and the slots that are expected from then on,
    ascending. Without a forecast nothing is expected.
    """
    if not forecast:
        return Expected()
    coming = [(at, slots) for at, slots in forecast if now - HELD_AFTER_S < at <= now + boots.lead_s]
    return Expected(
        launch_slots=sum(slots for at, slots in coming if at > now),
        hold_slots=sum(slots for _, slots in coming),
        open_slots=_opened_ahead(sum(slots for at, slots in coming if at <= now + RECALLED_BEFORE_S)),
        first_at=coming[0][0] if coming else None,
    )


def _opened_ahead(slots: int) -> int:
    return min(slots, OPENED_IN_FULL) + math.ceil(OPENED_BEYOND * max(0, slots - OPENED_IN_FULL))


def is_out_of_date(forecast: Forecast, *, now: float) -> bool:
    """Return whether the last run was due before the forecast could still have been stored: the clocks differ."""
    return bool(forecast) and max(at for at, _ in forecast) < now - AWAITED_S - FORECAST_TTL_S
