"""Boots: how they are followed, and how many tasks wait for one."""

import pytest

from autoscaler.boots import (
    CANCEL_AFTER_S,
    LONGEST_BOOT_S,
    MAX_LAUNCHES,
    MIN_BOOTS,
    Boots,
    Launch,
    tasks_without_slot,
)

NOW = 1_000.0


def under_way(*launches: tuple[float, int]) -> Boots:
    return Boots(launches=tuple(Launch(at=at, tasks=tasks) for at, tasks in launches))


def test_a_raised_desired_count_is_recorded_as_launches_of_this_tick() -> None:
    assert Boots().observe(3, now=NOW) == under_way((NOW, 3))
    assert under_way((NOW - 5, 3)).observe(4, now=NOW) == under_way((NOW - 5, 3), (NOW, 1))


def test_the_oldest_boots_end_first_and_say_how_long_they_took() -> None:
    after = under_way((NOW - 60, 2), (NOW - 40, 2)).observe(1, now=NOW)
    assert after.launches == (Launch(at=NOW - 40, tasks=1),)
    assert after.took_s == (60, 60, 40)


def test_cancelled_boots_add_no_boot_time() -> None:
    assert under_way((NOW - 60, 2), (NOW - 40, 2)).cancel(3) == under_way((NOW - 40, 1))


def test_a_boot_that_took_too_long_adds_no_boot_time() -> None:
    assert under_way((NOW - LONGEST_BOOT_S, 1)).observe(0, now=NOW).took_s == ()


def test_boots_in_their_first_minute_are_paid_for() -> None:
    boots = under_way((NOW - CANCEL_AFTER_S, 1), (NOW - CANCEL_AFTER_S + 1, 2), (NOW, 4))
    assert boots.paid_for(now=NOW) == 6


def test_a_boot_is_half_way_after_half_of_the_usual_boot_time() -> None:
    launches = under_way((NOW - 60, 1), (NOW - 45, 2), (NOW - 20, 4), (NOW - 19, 8)).launches
    assert Boots(launches=launches).half_way(now=NOW) == 3
    assert Boots(launches=launches, took_s=(40.0,) * MIN_BOOTS).half_way(now=NOW) == 7


def test_a_repeated_tick_learns_nothing_from_its_own_launches() -> None:
    asked = under_way((NOW - 50, 3)).observe(5, now=NOW)
    assert asked == under_way((NOW - 50, 3), (NOW, 2))
    assert asked.observe(3, now=NOW) == under_way((NOW - 50, 3))


def test_no_launch_is_in_the_future() -> None:
    assert under_way((NOW + 500, 1)).observe(1, now=NOW) == under_way((NOW, 1))


def test_seven_of_ten_boots_are_in_time_with_the_learned_lead() -> None:
    assert Boots(took_s=tuple(range(1, 51))).lead_s == 35 + 10
    assert Boots(took_s=(1.0,) * (MIN_BOOTS - 1)).lead_s == 90 + 10


def test_the_number_of_recorded_launches_is_limited_where_there_is_no_capacity() -> None:
    boots = Boots()
    for count in range(1, 2 * MAX_LAUNCHES):
        boots = boots.observe(count, now=NOW + count)
    assert len(boots.launches) == MAX_LAUNCHES
    assert sum(launch.tasks for launch in boots.launches) == 2 * MAX_LAUNCHES - 1


@pytest.mark.parametrize(
    ("free", "ended", "tasks"),
    [
        (0, 0, 5),
        (3, 0, 2),
        (0, 4, 3),  # half of what ended lately will end again
        (5, 0, 0),
        (0, 10, 0),
        (9, 4, 0),
    ],
)
def test_no_worker_boots_for_tasks_that_free_or_soon_free_slots_will_serve(free: int, ended: int, tasks: float) -> None:
    assert tasks_without_slot(queued=5, free=free, ended=ended) == tasks
