"""Says by how many days the oldest record in Airflow's database is older than the environment wants to keep records.

An alarm reads it: whatever keeps the cleaning (agent.cleaning) from its work, the record is still there.
"""

from __future__ import annotations

import json
from collections.abc import Callable

FIELD = "database_overdue_days"  # the template's metric filter reads it
DAY_S = 86_400
WRITE_EVERY_S = 900.0
# The cleaning takes this table last, and only when all others are done. It has an index on the time.
OLDEST_AGE_S = "select extract(epoch from now() - min(dttm)) from log"


class Overdue:
    """Writes a line now and then. With `keep_days` 0 everything is kept, and nothing is written."""

    def __init__(self, *, keep_days: int, write: Callable[[str], None]) -> None:
        self._keep_days, self._write = keep_days, write
        self._due = 0.0

    def tick(self, oldest_age_s: Callable[[], float | None], *, now: float) -> None:
        """Write if it is time (`now`: seconds), but not if `oldest_age_s`, which asks for OLDEST_AGE_S, raises."""
        if not self._keep_days or now < self._due:
            return
        age_s = oldest_age_s()
        days = 0.0 if age_s is None else max(0.0, float(age_s) / DAY_S - self._keep_days)
        self._write(json.dumps({FIELD: round(days, 2)}))
        self._due = now + WRITE_EVERY_S
