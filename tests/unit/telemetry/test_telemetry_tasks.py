"""What the webserver counts of a task that ends, in place of the task itself."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry.tasks import count

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TAGS = {"dag_id": "d", "task_id": "t"}


@dataclass
class Stats:
    """Takes the calls of Airflow's functions."""

    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    def incr(self, name: str, *, tags: dict[str, Any]) -> None:
        self.calls.append((name, 1, tags))

    def timing(self, name: str, dt: timedelta, *, tags: dict[str, Any]) -> None:
        self.calls.append((name, dt.total_seconds(), tags))


@dataclass(kw_only=True)
class Row:
    """A task instance's row."""

    start_date: datetime | None = NOW - timedelta(seconds=5)
    queued_dttm: datetime | None = NOW - timedelta(seconds=7)
    operator: str | None = "BashOperator"
    queue: str = "default"
    stats_tags: dict[str, str] = field(default_factory=lambda: dict(TAGS))


def counted(state: str, **row: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    stats = Stats()
    count(stats, Row(**row), state=state, now=NOW)
    return stats.calls


def test_a_success_is_counted_under_the_names_that_the_task_would_use() -> None:
    assert counted("success") == [
        ("ti.finish", 1, {**TAGS, "state": "success"}),
        ("operator_successes", 1, {**TAGS, "operator_name": "BashOperator"}),
        ("ti_successes", 1, TAGS),
        ("task.duration", 5.0, TAGS),
        ("task.queued_duration", 2.0, {**TAGS, "queue": "default"}),
    ]


@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
def test_a_failed_try_is_a_failure_whether_or_not_another_follows(state: str) -> None:
    names = [name for name, _, _ in counted(state)]
    assert names[:3] == ["ti.finish", "operator_failures", "ti_failures"]


@pytest.mark.parametrize(
    ("row", "durations"),
    [
        ({"start_date": None}, []),
        ({"queued_dttm": None}, ["task.duration"]),
        # It was queued again for another try since, so the start is that of the one before.
        ({"queued_dttm": NOW}, ["task.duration"]),
    ],
)
def test_a_duration_that_is_not_known_is_not_recorded(row: dict[str, Any], durations: list[str]) -> None:
    assert [name for name, _, _ in counted("skipped", **row)] == ["ti.finish", *durations]
