"""How many workers boot for tasks that wait."""

import pytest

from autoscaler.launching import boots_wanted, tasks_without_slot
from autoscaler.policy import Policy

POLICY = Policy(minimum=0, maximum=1000, concurrency=16, boots_per_task=0.7)


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
