"""Reads from Airflow's database how its work goes."""

from __future__ import annotations

from typing import Any

from agent.work_report import queries
from agent.work_report.files import Setup, exception_of
from agent.work_report.late import Scheduled, late_dags
from fleet.work import (
    MOST_MISSED,
    MOST_NAMED,
    BrokenFile,
    FailedRun,
    ParsedBundle,
    SlowFile,
    WorkLimits,
    WorkReport,
    shown,
)

MINUTE_S = 60
# Airflow's jobs beat every 5 s; its own pages call one unhealthy after 30 s.
SILENCE_S = 60.0
COMPONENTS = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag-processor", "TriggererJob": "triggerer"}
TRACE_TAIL = 2000  # characters of a stack trace: its last line names the exception


def read_work(session: Any, *, limits: WorkLimits, setup: Setup, now: float) -> WorkReport:
    """Return the report; `session`: a SQLAlchemy session on Airflow's database, `now`: seconds since the epoch.

    Raises SQLAlchemyError.
    """
    window = {"window_s": limits.window_minutes * MINUTE_S}
    failed = session.execute(queries.RUN_FAILURES, {**window, "most": MOST_NAMED}).all()
    broken = session.execute(queries.IMPORT_ERRORS, {"most": MOST_NAMED, "tail": TRACE_TAIL}).all()
    late = late_dags(_scheduled(session), default=limits.missed_intervals, now=now)
    bundles = session.execute(queries.PARSED_BUNDLES, {"most": MOST_NAMED}).all()
    alive = {row.job_type: row.alive for row in session.execute(queries.HEARTBEATS, {"silence_s": SILENCE_S})}
    return WorkReport(
        at=now,
        window_s=window["window_s"],
        task_failures=session.scalar(queries.TASK_FAILURES, window),
        run_failures=failed[0].failures if failed else 0,
        run_successes=session.scalar(queries.RUN_SUCCESSES, window),
        failed_runs=tuple(
            FailedRun(dag=shown(row.dag_id), run=shown(row.run_id), task=shown(row.task_id), at=float(row.at))
            for row in failed
        ),
        late=len(late),
        late_dags=late[:MOST_NAMED],
        import_errors=broken[0].errors if broken else 0,
        broken_files=tuple(
            BrokenFile(bundle=shown(row.bundle), file=shown(row.file) or "?", error=exception_of(row.trace))
            for row in broken
        ),
        delay_s=float(session.scalar(queries.DELAY)),
        slowest=tuple(
            SlowFile(bundle=shown(row.bundle_name), file=shown(row.file) or "?", seconds=max(0.0, row.seconds))
            for row in session.execute(queries.SLOWEST_FILE)
        ),
        bundles=tuple(ParsedBundle(name=shown(row.bundle_name), age_s=max(0.0, float(row.age_s))) for row in bundles),
        triggers=session.scalar(queries.TRIGGERS),
        capacity=setup.triggers_each * alive.get("TriggererJob", 0),
        silent=(
            *(name for kind, name in COMPONENTS.items() if not alive.get(kind)),
            *(shown(f"bundle {row.bundle_name}") for row in bundles if row.age_s > setup.parse_limit_s),
        )[:MOST_NAMED],
    )


def _scheduled(session: Any) -> list[Scheduled]:
    return [
        Scheduled(
            dag=row.dag_id,
            tags=tuple(row.tags or ()),
            runs=tuple(zip(map(float, row.due or ()), row.succeeded or (), strict=True)),
            next_due=float(row.next_due),
        )
        # The interval of the oldest one is the last that can be missed.
        for row in session.execute(queries.SCHEDULED, {"most": MOST_MISSED + 1})
    ]
