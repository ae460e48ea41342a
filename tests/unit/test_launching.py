"""How many workers boot for tasks that wait."""

import pytest

from autoscaler.launching import boots_wanted


@pytest.mark.parametrize(
    ("queued", "boots"),
    [
        (1, 1),  # ceil(0.7 x 1)
        (40, 28),  # 0.7 x 40, where 40 / 16 rounded up = 3 would do
        (100, 30),  # 70 would race for what 7 can do
        (320, 60),  # three times 320 / 16
        (1000, 100),  # three times 63 is more than ECS launches at once
        (1616, 101),  # all of them are needed
    ],
)
def test_a_race_is_bounded_by_what_is_needed_and_by_what_ecs_launches_at_once(queued: int, boots: int) -> None:
    assert boots_wanted(queued=queued, free=0, ended=0, foretold=0, concurrency=16, boots_per_task=0.7) == boots


def test_nothing_boots_for_what_is_free_or_about_to_be() -> None:
    assert boots_wanted(queued=5, free=5, ended=0, foretold=0, concurrency=16, boots_per_task=0.7) == 0
    assert boots_wanted(queued=5, free=0, ended=10, foretold=0, concurrency=16, boots_per_task=0.7) == 0


@pytest.mark.parametrize(("foretold", "boots"), [(0, 28), (10, 21), (40, 3), (400, 3)])
def test_what_is_foretold_is_not_raced_for(foretold: int, boots: int) -> None:
    assert boots_wanted(queued=40, free=0, ended=0, foretold=foretold, concurrency=16, boots_per_task=0.7) == boots
