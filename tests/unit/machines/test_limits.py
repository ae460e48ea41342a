"""How many requests for a token are checked."""

import pytest

from machines.limits import MINUTE_S, MOST_ADDRESSES, Limits
from machines.refusals import TooMany


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(limits: Limits, address: str, *, times: int = 1) -> None:
    for _ in range(times):
        with limits.admit(address):
            pass


def test_an_address_may_ask_so_often_in_a_minute_and_others_are_not_affected() -> None:
    clock = Clock()
    limits = Limits(most_a_minute=3, clock=clock)
    ask(limits, "10.0.0.1", times=3)
    with pytest.raises(TooMany, match=r"more than 3 requests for a token in a minute come from 10\.0\.0\.1"):
        ask(limits, "10.0.0.1")
    ask(limits, "10.0.0.2")
    clock.now = MINUTE_S
    ask(limits, "10.0.0.1", times=3)
    with pytest.raises(TooMany):
        ask(limits, "10.0.0.1")


def test_so_many_are_checked_at_once_and_a_refused_one_frees_its_slot() -> None:
    limits = Limits(most_at_once=1)
    with limits.admit("a"), pytest.raises(TooMany, match="too many machines ask for a token at once"):
        ask(limits, "b")
    with pytest.raises(ZeroDivisionError), limits.admit("a"):
        raise ZeroDivisionError
    ask(limits, "b")


def test_the_memory_of_addresses_is_bounded_and_the_latest_stay_limited() -> None:
    limits = Limits(most_a_minute=1, clock=Clock())
    for number in range(MOST_ADDRESSES + 1):
        ask(limits, str(number))
    with pytest.raises(TooMany):
        ask(limits, str(MOST_ADDRESSES))
    ask(limits, "0")  # forgotten for the newest
