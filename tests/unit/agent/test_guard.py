"""When the runner measures its memory, and which task it ends."""

import pytest

from agent.runner.guard import greediest, reserve_of, wait_s
from agent.runner.usage import Reading, Use

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("limit_mib", "reserve_mib"),
    [(662, 128), (2048, 128), (4096, 128), (16_384, 512), (120_000, 3750)],
)
def test_the_reserve_grows_with_the_worker(limit_mib: int, reserve_mib: int) -> None:
    assert reserve_of(limit_mib * MIB) == reserve_mib * MIB


@pytest.mark.parametrize(
    ("room_mib", "seconds"),
    [
        (8192, 0.5),
        (128 + 1024, 0.5),
        (128 + 512, 0.25),  # a leak of 2 GiB a second reaches the reserve at the next measurement
        (128 + 41, 0.02),
        (128 + 10, 0.005),
        (128, 0.005),
        (-100, 0.005),
    ],
)
def test_the_less_room_the_sooner_the_next_measurement(room_mib: int, seconds: float) -> None:
    assert wait_s(room_mib * MIB, reserve=128 * MIB) == pytest.approx(seconds, rel=0.01)


def test_a_larger_worker_is_measured_earlier() -> None:
    """Its reserve of 3,750 MiB stands for a leak of 60,000 MiB a second."""
    assert wait_s((3750 + 6000) * MIB, reserve=3750 * MIB) == pytest.approx(0.1)


def use(key: int, mib: int, *, is_task: bool = True, is_over: bool = False) -> Use:
    return Use(key=key, is_task=is_task, pids=() if is_over else (key + 1,), bytes=mib * MIB)


def reading(*uses: Use) -> Reading:
    return Reading(uses={each.key: each for each in uses}, total=0, running=frozenset())


def test_the_task_that_holds_the_most_is_ended() -> None:
    assert greediest(reading(use(10, 300), use(20, 900), use(30, 20))) == use(20, 900)


def test_a_process_that_a_task_has_left_behind_is_ended_like_a_task() -> None:
    assert greediest(reading(use(10, 300), use(20, 900, is_task=False))) == use(20, 900, is_task=False)


def test_a_task_that_has_ended_already_is_not_chosen() -> None:
    assert greediest(reading(use(10, 300), use(20, 900, is_over=True))) == use(10, 300)


def test_a_task_that_was_told_to_end_and_is_stuck_is_not_chosen_again() -> None:
    assert greediest(reading(use(10, 300), use(20, 900)), but={21}) == use(10, 300)


def test_without_tasks_nothing_is_ended() -> None:
    assert greediest(reading()) is None
