"""The report on Airflow's work, and its limits, as texts."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from fleet.work import (
    DEFAULT_LIMITS,
    LONGEST_NAME,
    MOST_NAMED,
    WorkLimits,
    parse_limits,
    parse_work,
    shown,
    to_json,
)
from tests.support.work_reports import a_report


def test_a_report_survives_the_way_through_redis() -> None:
    report = a_report()
    assert parse_work(to_json(report).encode()) == report


def test_nothing_reported_is_no_report_and_not_an_empty_one() -> None:
    assert parse_work(None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"at": "now"},
        {"at": -1},
        {"window_s": float("nan")},
        {"task_failures": None},
        {"task_failures": -1},
        {"task_failures": True},
        {"run_failures": 10**9},
        {"silent": ["scheduler", 7]},
        {"silent": ["x"] * (MOST_NAMED + 1)},
        {"failed_runs": {}},
        {"failed_runs": [{}]},
        {"failed_runs": ["run"]},
        {"failed_runs": [{"dag": "d", "run": "r\nSubject: forged", "task": "t", "at": 1.0}]},
        {"failed_runs": [{"dag": "d" * (LONGEST_NAME + 1), "run": "r", "task": "t", "at": 1.0}]},
        {"late_dags": [{"dag": "", "missed": 1, "expected": 1}]},
        {"late_dags": [{"dag": "d", "missed": 1, "expected": 1}] * (MOST_NAMED + 1)},
        {"slowest": [{"bundle": "b", "file": "f", "seconds": "long"}]},
        {"capacity": 1.5},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_malformed_report_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the report on the work has "):
        parse_work(json.dumps({**asdict(a_report()), **change}))


@pytest.mark.parametrize("raw", ["", "[]", "7", "null", "{", "[" * 10_000])
def test_what_is_no_object_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="the report on the work is no object"):
        parse_work(raw)


def test_no_triggerer_has_no_load() -> None:
    assert a_report(triggers=5, capacity=0).triggerer_load is None
    assert a_report(triggers=5, capacity=10).triggerer_load == 50


def test_the_default_limits_are_limits() -> None:
    assert parse_limits(DEFAULT_LIMITS) == WorkLimits(
        window_minutes=15, task_failures=10, run_failures=0, missed_intervals=2, delay_s=120, parse_s=20
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15,10,0,2,120,20",
        DEFAULT_LIMITS.replace("RunFailures", "TaskFailures"),
        DEFAULT_LIMITS.replace("WindowMinutes=15", "WindowMinutes=0"),
        DEFAULT_LIMITS.replace("MissedIntervals=2", "MissedIntervals=11"),
        DEFAULT_LIMITS.replace("TaskFailures=10", "TaskFailures=-1"),
        DEFAULT_LIMITS + ",More=1",
        DEFAULT_LIMITS + "\n",
    ],
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not like WindowMinutes="):
        parse_limits(text)


def test_a_name_is_shown_in_one_line_of_bounded_length() -> None:
    assert shown("a\nb\tc\x00d") == "a?b?c?d"
    assert len(shown("x" * 10_000)) == LONGEST_NAME
