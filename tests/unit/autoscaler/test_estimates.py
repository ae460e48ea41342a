"""How long tasks take, from what the ticks have seen."""

import pytest

from autoscaler.estimates import MIN_ENDS, REMEMBERED_ENDS, Pace

NOW = 1000.0
Tick = tuple[float, int, int]


def after(*ticks: Tick, pace: Pace | None = None) -> Pace:
    """Each tick: seconds since NOW, tasks that wait or run, tasks that run."""
    pace = pace or Pace()
    for at, demand, active in ticks:
        pace = pace.observe(demand=demand, active=active, now=NOW + at)
    return pace


def test_the_task_time_is_the_busy_slot_time_divided_by_the_tasks_that_ended() -> None:
    # 30 tasks run for 40 s, then the remaining 10 run for another 20 s.
    assert after((0, 50, 30), (40, 10, 10), (60, 0, 0)).task_s == pytest.approx((30 * 40 + 10 * 20) / 50)


def test_the_task_time_is_unknown_before_enough_tasks_have_ended() -> None:
    few = MIN_ENDS
    assert after((0, few, few)).task_s is None
    assert after((0, few, few), (30, 1, 1)).task_s is None
    assert after((0, few, few), (30, 0, 0)).task_s == 30


def test_a_tick_that_observes_no_change_changes_nothing() -> None:
    pace = after((0, 40, 40))
    assert after((5, 40, 40), (10, 40, 40), pace=pace) is pace
    assert after((5, 40, 40), (60, 0, 0), pace=pace) == after((60, 0, 0), pace=pace)


def test_waiting_tasks_add_no_slot_time() -> None:
    assert after((0, 100, 0), (300, 100, 50), (310, 50, 50), (320, 0, 0)).task_s == 10


def test_tasks_that_ended_long_ago_count_less_and_less() -> None:
    pace = after((0, 1000, 1000), (100, 0, 0))
    assert pace.ends == REMEMBERED_ENDS
    assert pace.task_s == 100
    for begin in range(200, 700, 100):
        pace = after((begin, 200, 200), (begin + 10, 0, 0), pace=pace)
    assert pace.task_s == pytest.approx(10, rel=0.5)


def test_a_clock_that_went_back_adds_no_work() -> None:
    assert after((0, 40, 40), (-500, 0, 0)).task_s == 0
