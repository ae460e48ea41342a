"""Which of Airflow's metrics are sent, under Airflow's own names, and which labels they keep.

The receiver charges for each point and for each of its labels. So the default set is short, and a DAG's id stays only
where one asks which DAG it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

NONE, DEFAULT, ALL = "none", "default", "all"
CHOICES = (NONE, DEFAULT, ALL)

DAG = "dag_id"
# The default set: names of Airflow's documentation, without its prefix, and their labels.
DEFAULT_SET: Mapping[str, tuple[str, ...]] = {
    # What the work does. The webserver counts tasks, see telemetry.tasks.
    "ti.finish": ("state",),
    "ti_failures": (DAG,),
    "task.duration": (),
    "task.queued_duration": ("queue",),
    "task.scheduled_duration": (),
    "dagrun.duration.success": (),
    "dagrun.duration.failed": (DAG,),
    "dagrun.schedule_delay": (),
    "dagrun.first_task_start_delay": (),
    # How the scheduler and its executor keep up.
    "scheduler_heartbeat": (),
    "scheduler.scheduler_loop_duration": (),
    "scheduler.dagruns.running": (),
    "scheduler.tasks.executable": (),
    "scheduler.tasks.starving": (),
    "scheduler.tasks.killed_externally": (),
    "task_instances_without_heartbeats_killed": (),
    "executor.queued_tasks": (),
    "executor.running_tasks": (),
    "pool.open_slots": ("pool_name",),
    "pool.queued_slots": ("pool_name",),
    "pool.running_slots": ("pool_name",),
    # How DAG files are parsed.
    "dag_processor_heartbeat": (),
    "dagbag_size": (),
    "dag_processing.import_errors": (),
    "dag_processing.total_parse_time": (),
    "dag_processing.file_path_queue_size": (),
    "dag_processing.processor_timeouts": (),
    # How triggers run.
    "triggerer_heartbeat": (),
    "triggers.running": (),
    "triggers.failed": (),
    "triggerer.capacity_left": (),
}
# Labels of the set `all`. None of them grows with the number of runs.
ALL_LABELS = frozenset(
    (
        *(DAG, "task_id", "state", "queue", "pool_name", "operator_name", "run_type", "bundle_name", "file_name"),
        *("executor_class_name", "team_name", "event_type", "transport_type", "prior_state", "job_name"),
    )
)
# Sets of labels of one metric; further ones are summed up under OVERFLOW, as OpenTelemetry's specification has it.
MOST_SETS = 2000
OVERFLOW: Mapping[str, object] = {"otel.metric.overflow": True}


def allow_list(choice: str) -> str:
    """Return Airflow's setting `metrics_allow_list` for the choice: one pattern without commas, or nothing for all."""
    return f"^({'|'.join(map(re.escape, DEFAULT_SET))})$" if choice == DEFAULT else ""


class Labels:
    """Reduces the labels of metrics to those that are kept, and bounds the number of their sets."""

    def __init__(self, choice: str, *, most_sets: int = MOST_SETS) -> None:
        self._is_default, self._most = choice == DEFAULT, most_sets
        self._seen: dict[str, set[tuple[tuple[str, str], ...]]] = {}

    def kept(self, name: str, tags: Mapping[str, object] | None) -> dict[str, object]:
        """Return what is left of the tags that Airflow gives to a metric."""
        allowed: Collection[str] = DEFAULT_SET.get(name, ()) if self._is_default else ALL_LABELS
        left = {label: value for label, value in (tags or {}).items() if label in allowed}
        if not left:
            return left
        seen = self._seen.setdefault(name, set())
        key = tuple((label, str(left[label])) for label in sorted(left))
        if key not in seen:
            if len(seen) >= self._most:
                return dict(OVERFLOW)
            seen.add(key)
        return left
