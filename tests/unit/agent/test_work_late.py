"""For how many of its intervals a DAG has not succeeded, with the arithmetic beside each case."""

import pytest

from agent.work_report.files import Setup, exception_of
from agent.work_report.late import Scheduled, expected_intervals, is_late, late_dags, missed_intervals
from fleet.work import MOST_MISSED, LateDag

HOUR = 3600.0
NOW = 100 * HOUR
OK, NOT = True, False


def hourly(
    *succeeded: bool, next_due: float = NOW + 0.5 * HOUR, tags: tuple[str, ...] = (), dag: str = "d"
) -> Scheduled:
    """Return an hourly DAG whose newest run is the first one, due an hour before the next."""
    newest = next_due - HOUR
    runs = [(newest - number * HOUR, each) for number, each in enumerate(succeeded)]
    return Scheduled(dag=dag, tags=tags, runs=runs, next_due=next_due)


@pytest.mark.parametrize(
    ("dag", "missed"),
    [
        (hourly(OK, NOT, NOT), 0),
        (hourly(NOT, OK), 0),  # its interval has not ended
        (hourly(NOT, NOT, OK), 1),
        (hourly(NOT, NOT, NOT, OK), 2),
        (hourly(NOT, NOT, NOT), 2),  # it has never succeeded
        (hourly(), 0),
        (hourly(next_due=NOW - 5 * HOUR), 0),  # a first run that is not created is the scheduler's delay
        # The next run was due half an hour ago, and is not created: the newest one's interval has ended.
        (hourly(NOT, OK, next_due=NOW - 0.5 * HOUR), 1),
        (hourly(OK, next_due=NOW - 0.5 * HOUR), 0),
        # 3.5 hours ago: those due 3.5, 2.5 and 1.5 hours ago were missed, and the one 0.5 hours ago not yet.
        (hourly(OK, next_due=NOW - 3.5 * HOUR), 3),
        (hourly(NOT, OK, next_due=NOW - 3.5 * HOUR), 4),
        (hourly(OK, next_due=NOW - 1000 * HOUR), MOST_MISSED),
        # A run a moment: no distance to count by.
        (Scheduled(dag="d", tags=(), runs=[(NOW - 60, NOT)], next_due=NOW - 60), 1),
    ],
)
def test_an_interval_is_missed_when_the_next_run_is_due_and_its_own_has_not_succeeded(
    dag: Scheduled, missed: int
) -> None:
    assert missed_intervals(dag, now=NOW) == missed


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((), 2),
        (("finance", "expect:5"), 5),
        (("expect:5", "expect:3"), 3),
        (("expect:0",), 0),
        (("expect:many", "expect:", "expect:-1", "unexpect:4"), 2),
        (("expect:99",), MOST_MISSED),
    ],
)
def test_a_tag_beats_the_default(tags: tuple[str, ...], expected: int) -> None:
    assert expected_intervals(tags, default=2) == expected


@pytest.mark.parametrize(
    ("missed", "expected", "late"), [(2, 2, True), (3, 2, True), (1, 2, False), (10, 0, False), (0, 0, False)]
)
def test_nothing_is_expected_of_zero(missed: int, expected: int, late: bool) -> None:
    assert is_late(missed, expected=expected) is late


def test_the_latest_dags_come_first() -> None:
    dags = [
        hourly(NOT, NOT, NOT, dag="b"),
        hourly(NOT, NOT, NOT, NOT, dag="c"),
        hourly(NOT, NOT, NOT, dag="a"),
        hourly(NOT, NOT, NOT, NOT, dag="patient", tags=("expect:4",)),
        hourly(OK, dag="well"),
    ]
    assert late_dags(dags, default=2, now=NOW) == (
        LateDag(dag="c", missed=3, expected=2),
        LateDag(dag="a", missed=2, expected=2),
        LateDag(dag="b", missed=2, expected=2),
    )


@pytest.mark.parametrize(
    ("trace", "name"),
    [
        (
            "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'x'\n",
            "ModuleNotFoundError",
        ),
        ("airflow.exceptions.AirflowDagCycleException: Cycle in d\n\n", "airflow.exceptions.AirflowDagCycleException"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("ValueError: password=hunter2", "ValueError"),  # what is behind it stays in Airflow
        ("it broke badly", ""),
        ("", ""),
    ],
)
def test_of_a_stack_trace_only_the_exceptions_name_is_reported(trace: str, name: str) -> None:
    assert exception_of(trace) == name


@pytest.mark.parametrize(("interval_s", "limit_s"), [(30, 900), (3600, 10_800)])
def test_a_bundle_may_take_three_of_its_parse_intervals(interval_s: float, limit_s: float) -> None:
    assert Setup(triggers_each=1, parse_interval_s=interval_s).parse_limit_s == limit_s
