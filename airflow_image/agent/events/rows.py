"""Runs and tries of tasks as Airflow's database has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

RUN_ENDED = frozenset({"success", "failed"})
TRY_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "up_for_retry"})


@dataclass(frozen=True, kw_only=True)
class Run:
    """A DAG run. `changed_at`: when its row was last written."""

    dag_id: str
    run_id: str
    run_type: str
    state: str
    logical_date: datetime | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    changed_at: datetime

    @property
    def is_ended(self) -> bool:
        return self.state in RUN_ENDED

    @property
    def since(self) -> datetime:
        """Since when it has its state: a time that does not move while the state lasts, where Airflow keeps one."""
        known = {"queued": self.queued_at, "running": self.start_date}.get(self.state, self.end_date)
        return known or self.changed_at


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try of a task. `map_index`: -1 of a task that is not mapped. `is_past`: a later try has begun or is due."""

    run: Run
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: str
    operator: str | None
    queue: str | None
    pool: str
    hostname: str | None
    scheduled_at: datetime | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    changed_at: datetime
    is_past: bool = False

    @property
    def told_state(self) -> str:
        """The state to tell.

        Airflow keeps a try that failed and was followed by another as `failed`; what a poll would have seen is
        `up_for_retry`.
        """
        return "up_for_retry" if self.is_past and self._was_retried else self.state

    @property
    def _was_retried(self) -> bool:
        return self.state == "failed" and self.try_number <= self.max_tries

    @property
    def since(self) -> datetime:
        """Since when it has its state: a time that does not move while the state lasts, where Airflow keeps one.

        A task that runs again after a wait keeps the start of its try: the time at which it was queued again is later.
        """
        if self.state in TRY_ENDED:
            return self.end_date or self.changed_at
        if self.state == "scheduled":
            return self.scheduled_at or self.changed_at
        if self.state == "queued":
            return self.queued_at or self.changed_at
        return max((at for at in (self.start_date, self.queued_at) if at is not None), default=self.changed_at)
