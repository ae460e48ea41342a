"""Unit tests of the answer shared by requests at about the same time."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from agent.page.shared import FRESH_S, Shared


@pytest.fixture
def numbers() -> Iterator[int]:
    return count(1)


def test_a_request_soon_after_gets_the_same_answer_and_a_later_one_a_new_answer(numbers: Iterator[int]) -> None:
    now = [100.0]
    shared = Shared(lambda: next(numbers), clock=lambda: now[0])
    assert (shared.get(), shared.get()) == (1, 1)
    now[0] += FRESH_S
    assert shared.get() == 2


def test_a_request_for_a_new_answer_gets_it_and_shares_it(numbers: Iterator[int]) -> None:
    shared = Shared(lambda: next(numbers), clock=lambda: 100.0)
    assert (shared.get(), shared.get(anew=True), shared.get()) == (1, 2, 2)


def test_a_failed_answer_is_not_kept(numbers: Iterator[int]) -> None:
    def make() -> float:
        return 1 / (next(numbers) - 1)

    shared = Shared(make, clock=lambda: 100.0)
    with pytest.raises(ZeroDivisionError):
        shared.get()
    assert shared.get() == 1


def test_threads_wait_for_the_one_that_makes_the_answer(numbers: Iterator[int]) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        may_end.wait()
        return next(numbers)

    shared, found = Shared(make, clock=lambda: 100.0), list[int]()
    threads = [threading.Thread(target=lambda: found.append(shared.get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    may_end.set()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1, 1]
