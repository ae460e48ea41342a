"""The tables whose old rows are deleted one by one. What belongs to a run is deleted with it, see agent.cleaning.runs.

Not `airflow db clean`: it goes by the age of each row alone. It deletes a trigger that a task waits for, and that task
with it, a DAG run that still runs, and the tasks of the last run, which the UI shows and `depends_on_past` reads.
"""

from __future__ import annotations

from dataclasses import dataclass

# As airflow.models.callback has them: nothing will be done about such a callback any more. Importing Airflow would take
# seconds of a processor; a test compares.
CALLBACKS_ENDED = ("success", "failed")
ORPHANED_CALLBACK = "old.state = 'scheduled' and not exists (select from deadline where deadline.callback_id = old.id)"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A row of table `name`, here called `old`, may go when the time in column `age` is past and `condition` holds.

    `key`: the column of its primary key. `needs`: other tables that the condition reads.
    """

    name: str
    age: str
    key: str = "id"
    condition: str = "true"
    needs: tuple[str, ...] = ()


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


# In the order of deletion. `log` is the last one: its oldest row tells that all others were done (agent.forecaster).
TABLES = (
    Table(name="asset_event", age="timestamp"),
    Table(
        name="partitioned_asset_key_log",
        age="created_at",
        # While that run exists, the scheduler counts these rows to decide when it starts.
        condition="not exists (select from asset_partition_dag_run run where run.id = old.asset_partition_dag_run_id)",
        needs=("asset_partition_dag_run",),
    ),
    Table(
        name="callback",
        age="created_at",
        condition=f"(old.state in ({_quoted(CALLBACKS_ENDED)}) or {ORPHANED_CALLBACK})",
        needs=("deadline",),
    ),
    Table(name="task_state_store", age="expires_at"),
    Table(
        name="backfill",
        age="completed_at",
        condition="not exists (select from dag_run run where run.backfill_id = old.id)",
        needs=("dag_run",),
    ),
    Table(
        name="dag_version",
        age="created_at",
        # The last version of a DAG is the one that runs.
        condition="exists (select from dag_version newer where newer.dag_id = old.dag_id "
        "and newer.version_number > old.version_number) "
        "and not exists (select from task_instance task where task.dag_version_id = old.id) "
        "and not exists (select from dag_run run where run.created_dag_version_id = old.id)",
        needs=("task_instance", "dag_run"),
    ),
    Table(
        name="dag",
        age="last_parsed_time",
        key="dag_id",
        # Its file is gone, and so are its runs. A DAG that is merely not parsed, as in a long sleep, is not stale.
        condition="old.is_stale and not exists (select from dag_run run where run.dag_id = old.dag_id) "
        "and not exists (select from task_instance task where task.dag_id = old.dag_id)",
        needs=("dag_run", "task_instance"),
    ),
    Table(name="job", age="latest_heartbeat"),
    # Celery's results, of releases that kept them here: since then they are in Redis, and expire.
    Table(name="celery_taskmeta", age="date_done"),
    Table(name="celery_tasksetmeta", age="date_done"),
    Table(name="connection_test_request", age="updated_at", condition="old.state in ('success', 'failed')"),
    Table(name="revoked_token", age="exp", key="jti"),
    Table(name="session", age="expiry"),  # of people who signed in with the FAB auth manager
    Table(name="log", age="dttm"),
)
