"""Reads from Airflow's database on which hosts tasks ran, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from fleet.attribution import Payer, Ran
from fleet.costs import payer_of

# A task that runs beats at least so often, or the scheduler ends it: see parts.HEARTBEAT_LIMIT_S.
SILENT_AT_MOST_S = 600.0
ROWS_AT_ONCE = 1_000

# The time of its last heartbeat, on which task_instance has an index, finds all tasks that ran later. Earlier tries are
# in the other table. After a failed try both tables have it, with one number, until the task is scheduled again.
#
# A deferred task holds no slot, and keeps its start: it runs again from when it was queued again, at the latest. Of a
# task that is deferred, or waits for input, the time of its last change is when it left its slot. A task that was never
# queued, such as an empty operator, has taken no slot. One that waits to run again is not known to have run.
TRIES = text("""
with tries as (
  select dag_id, task_id, run_id, map_index, try_number, queue, hostname,
         greatest(start_date, queued_dttm) as began,
         case when state in ('running', 'restarting') then null
              when state in ('deferred', 'awaiting_input') then updated_at
              else end_date end as ended
  from task_instance
  where last_heartbeat_at >= :beat_since and queued_dttm is not null and start_date < :end
    and state in ('running', 'restarting', 'deferred', 'awaiting_input', 'success', 'failed', 'skipped',
                  'up_for_retry', 'up_for_reschedule')
    and (state in ('running', 'restarting', 'deferred', 'awaiting_input') or end_date is not null)
  union all
  select dag_id, task_id, run_id, map_index, try_number, queue, hostname,
         greatest(start_date, queued_dttm), end_date
  from task_instance_history
  where end_date > :begin and queued_dttm is not null and start_date < :end
), once as (
  select distinct on (dag_id, task_id, run_id, map_index, try_number)
         dag_id, queue, coalesce(hostname, '') as hostname, began, ended
  from tries where ended is null or ended > :begin
)
select once.dag_id, coalesce(dag.owners, '') as owners, once.queue, once.hostname,
       extract(epoch from once.began) as began, extract(epoch from once.ended) as ended
from once left join dag on dag.dag_id = once.dag_id
limit :most
""")


class TooManyTries(Exception):
    """More tries ran in the time than are read at once."""


def read_tries(session: Any, *, begin: float, end: float, pool_of: Mapping[str, str], most: int) -> list[Ran]:
    """Return the tries that ran between two times, in seconds since the epoch, on workers of the pools.

    `pool_of`: the pool of each queue. `session`: a SQLAlchemy session on Airflow's database. Raises TooManyTries if
    more than `most` ran, and SQLAlchemyError.
    """
    times = {name: datetime.fromtimestamp(t, tz=UTC) for name, t in (("begin", begin), ("end", end))}
    beat_since = datetime.fromtimestamp(begin - SILENT_AT_MOST_S, tz=UTC)
    rows = session.execute(
        TRIES, {**times, "beat_since": beat_since, "most": most + 1}, execution_options={"yield_per": ROWS_AT_ONCE}
    )
    payers: dict[tuple[str, str], Payer] = {}
    hosts: dict[str, str] = {}
    tries: list[Ran] = []
    for number, row in enumerate(rows):
        if number == most:
            raise TooManyTries(f"more than {most:,} tries from {begin:.0f} to {end:.0f}")
        if row.queue not in pool_of:
            continue
        tries.append(
            Ran(
                payer=payers.setdefault((row.dag_id, row.owners), payer_of(row.dag_id, row.owners)),
                pool=pool_of[row.queue],
                host=hosts.setdefault(row.hostname, row.hostname),
                start=float(row.began),
                end=math.inf if row.ended is None else float(row.ended),
            )
        )
    return tries
