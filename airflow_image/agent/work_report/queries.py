"""The questions that the report on the work asks Airflow's database.

Each reads by an index: over a million task instances all of them together take some 20 ms of the database's processor
(bench/micro/forecaster_cost.py). `:window_s` is the window that ends now.
"""

from __future__ import annotations

from sqlalchemy import text

# A task's end is in the audit log, which has an index on the time; task_instance has none. The second table says which
# failures are still failures: a task that is retried, or was cleared since, is none.
TASK_FAILURES = text("""
select count(*) from (
  select distinct dag_id, run_id, task_id, map_index from log
  where dttm > now() - make_interval(secs => :window_s) and event = 'failed'
) as ended
join task_instance as ti using (dag_id, run_id, task_id, map_index)
where ti.state = 'failed'
""")

# By the index on (dag_id, state): a run may fail long after it was due, when it is cleared or backfilled.
RUN_FAILURES = text("""
with failed as materialized (
  select run.dag_id, run.run_id, run.end_date from dag
  cross join lateral (
    select dag_id, run_id, end_date from dag_run
    where dag_id = dag.dag_id and state = 'failed' and end_date > now() - make_interval(secs => :window_s)
  ) as run
), named as (
  select * from failed order by end_date desc, dag_id, run_id limit :most
)
select (select count(*) from failed) as failures, named.dag_id, named.run_id,
  extract(epoch from named.end_date) as at, coalesce(first.task_id, '') as task_id
from named left join lateral (
  select task_id from task_instance as ti
  where ti.dag_id = named.dag_id and ti.run_id = named.run_id and ti.state = 'failed' order by end_date limit 1
) as first on true
order by named.end_date desc, named.dag_id, named.run_id
""")

# For the dashboard. Runs that were due more than a day before their end are left out: the index is that of run_after.
RUN_SUCCESSES = text("""
select count(*) from dag_run
where run_after > now() - interval '1 day' and state = 'success' and end_date > now() - make_interval(secs => :window_s)
""")

# logical_date has an index with dag_id; run_after has one without.
SCHEDULED = text("""
select dag.dag_id, extract(epoch from dag.next_dagrun_create_after) as next_due,
  (select array_agg(name) from dag_tag where dag_tag.dag_id = dag.dag_id and name like 'expect:%') as tags,
  past.due, past.succeeded
from dag cross join lateral (
  select array_agg(extract(epoch from run_after) order by logical_date desc) as due,
    array_agg(state = 'success' order by logical_date desc) as succeeded
  from (
    select run_after, state, logical_date from dag_run
    where dag_id = dag.dag_id and logical_date is not null and run_type = 'scheduled'
    order by logical_date desc limit :most
  ) as last
) as past
where not dag.is_paused and not dag.is_stale and dag.timetable_periodic and dag.next_dagrun_create_after is not null
order by dag.dag_id
""")

IMPORT_ERRORS = text("""
select count(*) over () as errors, coalesce(bundle_name, '') as bundle, coalesce(filename, '') as file,
  right(coalesce(stacktrace, ''), :tail) as trace
from import_error order by filename, id limit :most
""")

# A run that waits to be created, or one under way that the scheduler has not looked at. A run that waits for a limit of
# its DAG is not the scheduler's.
DELAY = text("""
select greatest(0, (
  select extract(epoch from now() - min(next_dagrun_create_after)) from dag
  where next_dagrun_create_after <= now() and not is_paused and not is_stale and not has_import_errors
    and not exceeds_max_non_backfill
    and (coalesce(allowed_run_types::text, 'null') = 'null' or allowed_run_types::text like '%"scheduled"%')
), (
  select extract(epoch from now() - min(coalesce(run.last_scheduling_decision, run.start_date)))
  from dag_run as run join dag using (dag_id)
  where run.state = 'running' and run.backfill_id is null and run.run_after <= now()
    and not dag.is_paused and not dag.is_stale
))
""")

SLOWEST_FILE = text("""
select bundle_name, coalesce(relative_fileloc, fileloc, '') as file, last_parse_duration as seconds from dag
where not is_stale and last_parse_duration is not null order by last_parse_duration desc, dag_id limit 1
""")

PARSED_BUNDLES = text("""
select bundle_name, extract(epoch from now() - max(last_parsed_time)) as age_s from dag
where not is_stale and last_parsed_time is not null group by bundle_name order by age_s desc, bundle_name limit :most
""")

HEARTBEATS = text("""
select job_type, count(*) filter (where latest_heartbeat > now() - make_interval(secs => :silence_s)) as alive
from job where state = 'running' and job_type in ('SchedulerJob', 'DagProcessorJob', 'TriggererJob') group by job_type
""")

TRIGGERS = text("select count(*) from trigger")
