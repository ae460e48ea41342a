"""How many days the oldest record is older than it should be, as an alarm reads it."""

import json

import pytest

from agent.forecaster.overdue import DAY_S, FIELD, WRITE_EVERY_S, Overdue


class Log:
    def __init__(self, *, keep_days: int) -> None:
        self.lines: list[str] = []
        self.overdue = Overdue(keep_days=keep_days, write=self.lines.append)


@pytest.mark.parametrize(("age_days", "overdue"), [(32.5, 2.5), (30.0, 0.0), (1.0, 0.0), (None, 0.0)])
def test_what_is_older_than_the_limit_is_overdue(age_days: float | None, overdue: float) -> None:
    log = Log(keep_days=30)
    log.overdue.tick(lambda: None if age_days is None else age_days * DAY_S, now=1.0)
    assert [json.loads(line) for line in log.lines] == [{FIELD: overdue}]


def test_a_line_is_written_now_and_then() -> None:
    log = Log(keep_days=30)
    for now in (1.0, WRITE_EVERY_S, WRITE_EVERY_S + 1.0, WRITE_EVERY_S + 2.0):
        log.overdue.tick(lambda: 0.0, now=now)
    assert len(log.lines) == 2


def test_a_database_that_does_not_answer_is_not_taken_for_a_clean_one() -> None:
    log = Log(keep_days=30)

    def fail() -> float:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        log.overdue.tick(fail, now=1.0)
    assert log.lines == []
    log.overdue.tick(lambda: 0.0, now=2.0)
    assert len(log.lines) == 1


def test_nothing_is_asked_where_everything_is_kept() -> None:
    log = Log(keep_days=0)
    log.overdue.tick(pytest.fail, now=1.0)
    assert log.lines == []
