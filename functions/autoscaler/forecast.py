"""Turns a forecast into the slots that a pool should have now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.boots import Boots
from autoscaler.estimates import WINDOW_S, DemandSample, count_come, grown
from fleet.forecast import FORECAST_TTL_S, Forecast

# A run's tasks come some seconds after it was due, later where the scheduler is slow. Its slots are held for this time
# after it was due, or until as many tasks have come; then the backlog decides.
HELD_AFTER_S = 20.0
# Draining workers are recalled this long before a run: an order is obeyed within 2 s, and ticks are 5 s or 15 s apart.
RECALLED_BEFORE_S = 20.0
# Of the slots expected this soon, so many are opened: the tasks of one run at once, Airflow's default for a DAG. The
# rest is launched, waits drained, and is recalled within a tick when tasks have come: workers that are filled one after
# the other hold tasks of the same runs, which end together, and a surplus worker holds none. Simulated: opening a fifth
# of the rest ahead costs 2 % more and saves 2 s of wait.
OPENED_AHEAD = 16
# The forecaster awaits a run that the scheduler has not created for this long.
AWAITED_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Slots wanted beyond the demand.

    `launch_slots`: expected within a boot's time. `hold_slots`: these and those expected just now, whose tasks may have
    come or not. `open_slots`: expected so soon that workers must consume, at most OPENED_AHEAD. `first_at`: when the
    first of them are due, None without any. `grown`: tasks by which the demand has grown in the last minute without
    being forecast; more of those may come.
    """

    launch_slots: int = 0
    hold_slots: int = 0
    open_slots: int = 0
    first_at: float | None = None
    grown: int = 0


def expected_slots(
    forecast: Forecast | None, boots: Boots, samples: Sequence[DemandSample] = (), *, now: float
) -> Expected:
    """Sum the slots that are expected from just now until a worker launched now would consume.

    A forecast holds pairs of a time (Redis's, in seconds since the epoch) and the slots that are expected from then on,
    ascending. Without one no slots are expected. `samples`: the demand of the last minute. Of the slots that were
    due already, those whose tasks have come are no longer expected.
    """
    if not forecast:
        return Expected(grown=grown(samples))
    coming = [(at, slots) for at, slots in forecast if now - HELD_AFTER_S < at <= now + boots.lead_s]
    launch_slots = sum(slots for at, slots in coming if at > now)
    late_slots = sum(slots for at, slots in coming if at <= now)
    if late_slots:
        late_slots = max(0, late_slots - count_come(samples, since=coming[0][0]))
    soon_slots = sum(slots for at, slots in coming if now < at <= now + RECALLED_BEFORE_S)
    return Expected(
        launch_slots=launch_slots,
        hold_slots=launch_slots + late_slots,
        open_slots=min(OPENED_AHEAD, late_slots + soon_slots),
        first_at=coming[0][0] if coming else None,
        grown=_grown_beyond(forecast, samples, now=now),
    )


def _grown_beyond(forecast: Forecast, samples: Sequence[DemandSample], *, now: float) -> int:
    """Return by how many tasks the demand of the last minute has grown beyond what was due then, or shortly before."""
    due = sum(slots for at, slots in forecast if now - WINDOW_S - HELD_AFTER_S < at <= now)
    return max(0, grown(samples) - due)


def is_out_of_date(forecast: Forecast, *, now: float) -> bool:
    """Return whether the last run was due before the forecast could still have been stored: the clocks differ."""
    return bool(forecast) and max(at for at, _ in forecast) < now - AWAITED_S - FORECAST_TTL_S
