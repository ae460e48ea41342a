"""Unit tests of the limit of attempts to sign in."""

import pytest

from sign_in.attempts import MOST_KEYS, MOST_OF_AN_ADDRESS, MOST_WITH_A_NAME, WINDOW_S, Attempts, address_of


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(attempts: Attempts, times: int, *, address: str = "10.0.0.1", name: str = "admin") -> list[float]:
    return [attempts.wait_s(address=address, name=name) for _ in range(times)]


def test_failures_with_one_name_are_limited_and_allowed_again_later() -> None:
    clock = Clock()
    attempts = Attempts(clock=clock)
    assert failed(attempts, MOST_WITH_A_NAME) == [0.0] * MOST_WITH_A_NAME
    clock.now += 20
    assert failed(attempts, 1) == [WINDOW_S - 20]
    clock.now += WINDOW_S - 20
    assert failed(attempts, 1) == [0.0]


def test_a_name_cannot_be_locked_out_from_another_address() -> None:
    attempts = Attempts(clock=Clock())
    failed(attempts, 100)
    assert failed(attempts, 1, address="10.0.0.2") == [0.0]


def test_an_address_is_limited_over_all_names() -> None:
    attempts = Attempts(clock=Clock())
    waits = [failed(attempts, 1, name=f"user{number}")[0] for number in range(MOST_OF_AN_ADDRESS + 1)]
    assert waits == [0.0] * MOST_OF_AN_ADDRESS + [WINDOW_S]


def test_capital_letters_make_no_other_name() -> None:
    attempts = Attempts(clock=Clock())
    failed(attempts, MOST_WITH_A_NAME, name="Admin")
    assert failed(attempts, 1, name="aDMIN") == [WINDOW_S]


def test_success_does_not_count() -> None:
    attempts = Attempts(clock=Clock())
    for _ in range(10 * MOST_OF_AN_ADDRESS):
        assert attempts.wait_s(address="10.0.0.1", name="admin") == 0.0
        attempts.succeeded(address="10.0.0.1", name="admin")


def test_success_does_not_forgive_the_failures_before_it() -> None:
    attempts = Attempts(clock=Clock())
    failed(attempts, MOST_WITH_A_NAME - 1)
    assert failed(attempts, 1) == [0.0]
    attempts.succeeded(address="10.0.0.1", name="admin")
    assert failed(attempts, 2) == [0.0, WINDOW_S]


def test_memory_is_bounded() -> None:
    attempts = Attempts(clock=Clock())
    failed(attempts, MOST_WITH_A_NAME)
    for number in range(MOST_KEYS):
        failed(attempts, 1, address=f"10.1.{number // 256}.{number % 256}")
    assert failed(attempts, 1) == [0.0]  # forgotten: it was the oldest


def test_attempts_that_are_refused_make_no_one_forget_others() -> None:
    attempts = Attempts(clock=Clock())
    failed(attempts, MOST_WITH_A_NAME)
    for number in range(MOST_KEYS):
        failed(attempts, 1, address="10.0.0.2", name=f"user{number}")
    assert failed(attempts, 1) == [WINDOW_S]


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [("", "127.0.0.1"), ("10.0.0.1", "10.0.0.1"), ("1.2.3.4, 10.0.0.1", "10.0.0.1"), ("1.2.3.4,", "127.0.0.1")],
)
def test_the_address_is_the_one_that_the_load_balancer_saw(forwarded_for: str, address: str) -> None:
    assert address_of(forwarded_for, "127.0.0.1") == address
