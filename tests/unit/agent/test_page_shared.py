"""One answer for those who ask for the same thing at about the same time."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from agent.page.shared import FRESH_S, Shared


@pytest.fixture
def numbers() -> Iterator[int]:
    return count(1)


def test_who_asks_soon_after_gets_the_same_and_who_asks_later_another(numbers: Iterator[int]) -> None:
    now = [100.0]
    shared = Shared(lambda: next(numbers), clock=lambda: now[0])
    assert (shared.get(), shared.get()) == (1, 1)
    now[0] += FRESH_S
    assert shared.get() == 2


def test_who_wants_it_anew_gets_it_and_lets_others_share_it(numbers: Iterator[int]) -> None:
    shared = Shared(lambda: next(numbers), clock=lambda: 100.0)
    assert (shared.get(), shared.get(anew=True), shared.get()) == (1, 2, 2)


def test_what_fails_is_not_kept(numbers: Iterator[int]) -> None:
    def make() -> float:
        return 1 / (next(numbers) - 1)

    shared = Shared(make, clock=lambda: 100.0)
    with pytest.raises(ZeroDivisionError):
        shared.get()
    assert shared.get() == 1


def test_threads_that_ask_while_one_makes_it_wait_for_that_one(numbers: Iterator[int]) -> None:
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
