"""Following the boots under way, and how many workers boot for tasks that wait."""

import pytest

from autoscaler.boots import (
    CANCEL_AFTER_S,
    LONGEST_BOOT_S,
    MAX_LAUNCHES,
    MIN_BOOTS,
    Boots,
    Launch,
    boots_wanted,
    tasks_without_slot,
)
from autoscaler.policy import Policy

NOW = 1_000.0
POLICY = Policy(minimum=0, maximum=1000, concurrency=16, boots_per_task=0.7)


def under_way(*launches: tuple[float, int]) -> Boots:
    return Boots(launches=tuple(Launch(at=at, tasks=tasks) for at, tasks in launches))


def test_what_is_asked_for_is_launched_now() -> None:
    assert Boots().observe(3, now=NOW) == under_way((NOW, 3))
    assert under_way((NOW - 5, 3)).observe(4, now=NOW) == under_way((NOW - 5, 3), (NOW, 1))


def test_the_oldest_boots_end_first_and_say_how_long_they_took() -> None:
    after = under_way((NOW - 60, 2), (NOW - 40, 2)).observe(1, now=NOW)
    assert after.launches == (Launch(at=NOW - 40, tasks=1),)
    assert after.took_s == (60, 60, 40)


def test_boots_that_are_given_up_say_nothing() -> None:
    assert under_way((NOW - 60, 2), (NOW - 40, 2)).cancel(3) == under_way((NOW - 40, 1))


def test_what_took_too_long_was_no_boot() -> None:
    assert under_way((NOW - LONGEST_BOOT_S, 1)).observe(0, now=NOW).took_s == ()


def test_boots_in_their_first_minute_are_paid_for() -> None:
    boots = under_way((NOW - CANCEL_AFTER_S, 1), (NOW - CANCEL_AFTER_S + 1, 2), (NOW, 4))
    assert boots.paid_for(now=NOW) == 6


def test_half_way_is_half_of_what_boots_take_here() -> None:
    launches = under_way((NOW - 60, 1), (NOW - 45, 2), (NOW - 20, 4), (NOW - 19, 8)).launches
    assert Boots(launches=launches).half_way(now=NOW) == 3
    assert Boots(launches=launches, took_s=(40.0,) * MIN_BOOTS).half_way(now=NOW) == 7


def test_a_look_that_is_made_twice_learns_nothing_from_what_it_asked_for() -> None:
    asked = under_way((NOW - 50, 3)).observe(5, now=NOW)
    assert asked == under_way((NOW - 50, 3), (NOW, 2))
    assert asked.observe(3, now=NOW) == under_way((NOW - 50, 3))


def test_no_launch_is_in_the_future() -> None:
    assert under_way((NOW + 500, 1)).observe(1, now=NOW) == under_way((NOW, 1))


def test_seven_of_ten_boots_are_in_time_with_the_learned_lead() -> None:
    assert Boots(took_s=tuple(range(1, 51))).lead_s == 35 + 10
    assert Boots(took_s=(1.0,) * (MIN_BOOTS - 1)).lead_s == 90 + 10


def test_launches_do_not_pile_up_where_there_is_no_capacity() -> None:
    boots = Boots()
    for count in range(1, 2 * MAX_LAUNCHES):
        boots = boots.observe(count, now=NOW + count)
    assert len(boots.launches) == MAX_LAUNCHES
    assert sum(launch.tasks for launch in boots.launches) == 2 * MAX_LAUNCHES - 1


@pytest.mark.parametrize(
    ("tasks", "boots"),
    [
        (0, 0),
        (1, 1),  # ceil(0.7 x 1)
        (40, 28),  # 0.7 x 40, where 40 / 16 rounded up = 3 would do
        (100, 30),  # 70 would race for what 7 can do
        (320, 60),  # three times 320 / 16
        (1000, 100),  # three times 63 is more than ECS launches at once
        (1616, 101),  # all of them are needed
    ],
)
def test_a_race_is_bounded_by_what_is_needed_and_by_what_ecs_launches_at_once(tasks: int, boots: int) -> None:
    assert boots_wanted(tasks, POLICY) == boots


@pytest.mark.parametrize(
    ("task_s", "boots"),
    [
        (None, 28),
        (600, 28),
        (60, 10),  # 3 are needed; the others cost a minute each, three times what 40 tasks of a minute do in 16 slots
        (4, 3),
        (0, 3),
    ],
)
def test_losers_cost_no_more_than_the_tasks_are_worth(task_s: float | None, boots: int) -> None:
    assert boots_wanted(40, POLICY, task_s=task_s) == boots


@pytest.mark.parametrize(
    ("half_way", "boots"),
    [
        (0, 28),
        (1, 18),  # the one, and 0.7 x 24
        (2, 8),
        (3, 3),  # all that are needed
        (9, 3),
    ],
)
def test_what_boots_that_are_half_way_will_serve_is_not_raced_for(half_way: int, boots: int) -> None:
    assert boots_wanted(40, POLICY, half_way=half_way) == boots


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
def test_nothing_boots_for_what_is_free_or_about_to_be(free: int, ended: int, tasks: float) -> None:
    assert tasks_without_slot(queued=5, free=free, ended=ended) == tasks
