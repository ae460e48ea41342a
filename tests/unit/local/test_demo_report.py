"""The demonstration's figures and verdict."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.scenarios.demo.charts import plot
from local.scenarios.demo.report import (
    Report,
    ScaleEvent,
    backlog_to_worker,
    files_with_secrets,
    killed,
    scale_events,
)
from local.scenarios.demo.samples import Sample

GOOD = Report(
    tasks_total=120,
    tasks_succeeded=120,
    tasks_killed=0,
    peak_workers=4,
    final_workers=1,
    seconds_to_first_scale_out=4.0,
    seconds_total=200.0,
    logs_in_bucket=120,
    scale_events=(ScaleEvent(t=4.0, desired=4, reason="120 tasks need 4 workers"),),
    minimum_workers=1,
    logs_readable=120,
)


def test_a_good_run_has_no_problems() -> None:
    assert GOOD.problems(at_least_peak=3) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tasks_succeeded": 119}, "1 of 120 tasks did not succeed"),
        ({"tasks_killed": 2}, "2 tasks were killed"),
        ({"peak_workers": 2}, "peaked at 2, below the required 3"),
        ({"final_workers": 2}, "2 workers were left, not 1"),
        ({"logs_in_bucket": 100}, "20 logs are missing"),
        ({"logs_readable": 0}, "120 logs cannot be read"),
        ({"files_with_secrets": ("logs/a.log",)}, "secrets were logged in logs/a.log"),
        ({"tasks_counted": 119}, "Airflow's metrics counted 119 tasks that succeeded, not 120"),
        ({"refused": ("User: x is not authorized", "y")}, "2 kinds of calls were refused, the first: User: x is not"),
    ],
)
def test_each_unmet_requirement_is_a_problem(change: dict[str, Any], said: str) -> None:
    assert any(said in line for line in replace(GOOD, **change).problems(at_least_peak=3))


def test_the_report_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    GOOD.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    fields = "tasks_total tasks_succeeded tasks_killed peak_workers final_workers seconds_to_first_scale_out"
    assert {*fields.split(), "seconds_total", "logs_in_bucket", "scale_events"} <= set(written)
    assert written["scale_events"] == [{"t": 4.0, "desired": 4, "reason": "120 tasks need 4 workers"}]


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"state": "success", "try_number": 1}, 0),
        ({"state": "failed", "try_number": 1}, 1),
        ({"state": "success", "try_number": 2}, 1),
        ({"state": "up_for_retry", "try_number": 1}, 1),
    ],
)
def test_a_task_that_needed_a_second_try_counts_as_killed(instance: dict[str, Any], expected: int) -> None:
    assert killed([instance]) == expected


@pytest.mark.parametrize(
    ("logged", "leaks_it"),
    [
        ("connecting to redis://:Sup3rS3cretValue@host", True),
        ("token eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLi4u", True),
        ("nothing to see", False),
    ],
)
def test_a_secret_or_a_token_in_a_log_is_found(tmp_path: Path, logged: str, leaks_it: bool) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"first line\n{logged}\n")
    assert bool(files_with_secrets([path], {"Sup3rS3cretValue"})) is leaks_it


def sample(t: float, *, desired: int = 1) -> Sample:
    load = {"waiting": int(t), "backlog": int(t), "active": 1}
    return Sample(t=t, desired=desired, running=desired, pending=0, consuming=1, draining=0, **load)


def test_the_first_extra_worker_is_timed_from_the_first_backlog() -> None:
    quiet = Sample(t=1.0, waiting=0, backlog=0, active=0, desired=1, running=1, pending=0, consuming=1, draining=0)
    # queued at 3.0, decided at 5.0, the ECS task exists at 6.2 and runs at 9.0
    told = [quiet, replace(quiet, t=3.0, backlog=8), replace(quiet, t=5.0, backlog=8, desired=3)]
    started = [*told, replace(quiet, t=6.2, desired=3, pending=2), replace(quiet, t=9.0, desired=3, running=3)]
    assert backlog_to_worker(started, minimum=1) == 3.2
    assert backlog_to_worker(told, minimum=1) is None
    assert backlog_to_worker([quiet], minimum=1) is None


def test_scale_events_are_the_decisions_since_the_trigger_that_changed_the_count() -> None:
    decisions: list[dict[str, Any]] = [
        {"t": 990.0, "was": 1, "desired": 2, "reason": "before"},
        {"t": 1005.0, "was": 1, "desired": 1, "reason": "steady"},
        {"t": 1010.5, "was": 1, "desired": 4, "reason": "out"},
        {"t": 1012.0, "was": None, "desired": None, "reason": "unreadable"},
        {"t": 1060.2, "was": 4, "desired": 1, "reason": "in"},
    ]
    events = scale_events(decisions, triggered_at=1000.0)
    assert [(e.t, e.desired, e.reason) for e in events] == [(10.5, 4, "out"), (60.2, 1, "in")]


def test_the_plot_is_written(tmp_path: Path) -> None:
    plot([sample(t, desired=1 + t // 5) for t in range(20)], trigger_t=3, title="t", path=tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
