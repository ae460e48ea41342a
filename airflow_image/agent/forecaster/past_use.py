"""Reads from Airflow's database how many slots the last runs of DAGs needed over time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import text

from agent.forecaster.forecast import BUCKET_S, PastUse

# Even the shortest task takes a slot for about a second.
LEAST_S = 1.0
# With this many DAGs a statement stays far below its timeout, however many DAGs are due.
DAGS_A_QUERY = 50

# Slots needed = the tasks that would have run at once if none had waited for a worker: a task needs its slot from when
# it is queued, for as long as it ran, on a clock that starts with the run's first task. So a run that found no worker
# counts like one that found enough. Only an increase above all earlier levels is a rise: a slot needed once is there
# later. Tasks that were never queued (empty operators) take no slot. Of a retried task only the last try is known; the
# time for which a task was deferred counts as busy.
PAST_USE = text("""
with past as (
  select due.dag_id, run.run_id
  from unnest(cast(:dag_ids as varchar[])) as due(dag_id)
  cross join lateral (
    select run_id from dag_run
    where dag_id = due.dag_id and run_type = 'scheduled' and state in ('success', 'failed')
    order by run_after desc limit :runs
  ) as run
), tasks as (
  select past.dag_id, past.run_id, ti.queue,
         greatest(0, extract(epoch from ti.queued_dttm - min(ti.start_date) over (partition by ti.dag_id, ti.run_id)))
           as wanted_at,
         greatest(:least_s, extract(epoch from ti.end_date - ti.start_date)) as lasted
  from past join task_instance as ti on ti.dag_id = past.dag_id and ti.run_id = past.run_id
  where ti.queued_dttm is not null and ti.start_date is not null and ti.end_date is not null
), steps as (
  select dag_id, run_id, queue, wanted_at as at, 1 as step from tasks where wanted_at < :window_s
  union all
  select dag_id, run_id, queue, wanted_at + lasted, -1 from tasks where wanted_at < :window_s
), levels as (
  select dag_id, run_id, queue, at, step, sum(step) over (partition by dag_id, run_id, queue order by at, step) as slots
  from steps
), peaks as (
  select dag_id, run_id, queue, at, step, max(slots) over (partition by dag_id, run_id, queue order by at, step) as peak
  from levels
), rises as (
  select dag_id, queue, at,
         peak - lag(peak, 1, cast(0 as bigint)) over (partition by dag_id, run_id, queue order by at, step) as slots
  from peaks
), buckets as (
  select dag_id, queue, cast(floor(at / :bucket_s) as integer) * :bucket_s as after_s, sum(slots) as slots
  from rises where slots > 0 group by 1, 2, 3
), counts as (
  select dag_id, count(*) as runs from past group by dag_id
)
select dag_id, queue, runs, array_agg(after_s order by after_s) as after_s, array_agg(slots order by after_s) as slots
from buckets join counts using (dag_id) group by dag_id, queue, runs
""")


def past_use(session: Any, dag_ids: Collection[str], *, runs: int, window_s: float) -> list[PastUse]:
    """Return the slots that each DAG's last `runs` finished scheduled runs needed in their first `window_s` seconds.

    `session`: a SQLAlchemy session on Airflow's database. A DAG that never ran is left out. Raises SQLAlchemyError.
    """
    ordered = sorted(dag_ids)
    limits = {"runs": runs, "window_s": window_s, "least_s": LEAST_S, "bucket_s": BUCKET_S}
    return [
        PastUse(
            dag_id=row.dag_id,
            queue=row.queue,
            runs=row.runs,
            rises=tuple((after_s, int(slots)) for after_s, slots in zip(row.after_s, row.slots, strict=True)),
        )
        for begin in range(0, len(ordered), DAGS_A_QUERY)
        for row in session.execute(PAST_USE, {**limits, "dag_ids": ordered[begin : begin + DAGS_A_QUERY]})
    ]
