"""The times that `make prewarm` reads of two runs, and its verdict."""

from typing import Any

import pytest

from local.scenarios.prewarm import RunTimes, first_due_after, problems, times_of

DUE = "2026-01-01T00:03:00Z"
DUE_S = 1767225780.0


def run(due: str = DUE, *, kind: str = "scheduled", state: str = "success") -> dict[str, Any]:
    return {"dag_run_id": due, "run_after": due, "run_type": kind, "state": state}


def of(*, consuming: int, waits: tuple[float, ...] = (1.0,) * 12, tries: int = 1) -> RunTimes:
    return RunTimes(due_at=DUE_S, waits=waits, tries=tries, consuming_when_due=consuming)


COLD = of(consuming=1, waits=(20.0,) * 12)


def test_a_wait_lasts_from_the_message_to_the_start() -> None:
    instances = [
        {"queued_when": "2026-01-01T00:03:01Z", "start_date": "2026-01-01T00:03:02.5Z", "try_number": 1},
        {"queued_when": "2026-01-01T00:03:01Z", "start_date": "2026-01-01T00:03:22.5Z", "try_number": 2},
    ]
    found = times_of(run(), instances, consuming_when_due=3)
    assert found == RunTimes(due_at=DUE_S, waits=(1.5, 21.5), tries=2, consuming_when_due=3)
    assert found.line().startswith("2 tasks waited 11.5 s on average, 21.5 s at most; 3 workers")


def test_the_first_later_run_that_succeeded_is_chosen() -> None:
    later, latest = run("2026-01-01T00:06:00Z"), run("2026-01-01T00:09:00Z")
    assert first_due_after([latest, later, run()], DUE_S) == later
    assert first_due_after([run(), run("2026-01-01T00:06:00Z", state="running")], DUE_S) is None
    assert first_due_after([run("2026-01-01T00:06:00Z", kind="manual")], 0.0) is None


@pytest.mark.parametrize(
    ("warm", "found"),
    [
        (of(consuming=3), []),
        (of(consuming=2), ["2 workers consumed when the run was due, not 3"]),
        (of(consuming=3, waits=(20.0,) * 12), ["with the forecast, tasks waited no less than without it"]),
        (of(consuming=3, tries=2), ["a task was retried"]),
    ],
)
def test_a_forecast_run_must_find_its_workers_ready(warm: RunTimes, found: list[str]) -> None:
    # 12 tasks at 4 slots a worker need 3.
    assert problems(COLD, warm, slots=4) == found
