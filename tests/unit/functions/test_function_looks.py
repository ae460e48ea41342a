"""How often a function looks within one invocation."""

import pytest

from shared.looks import look_until

EVERY_S = 15.0
TAKES_AT_MOST_S = 10.0


@pytest.mark.parametrize(
    ("seen", "looks", "seconds", "looked"),
    [
        (["done", "busy"], 4, 300.0, 1),
        (["busy", "busy", "done", "busy"], 4, 300.0, 3),
        (["busy"] * 9, 4, 300.0, 4),
        (["busy"] * 9, 1, 300.0, 1),
        (["busy"] * 9, 4, 39.9, 2),  # a pause later 24.9 s are left
        (["busy"] * 9, 4, 40.0, 3),  # 25 s are just enough for a pause and a look
        (["busy"] * 9, 4, 24.9, 1),
    ],
    ids=["done at once", "done later", "never done", "one was asked for", "little time", "just enough time", "none"],
)
def test_it_looks_until_it_is_done_or_was_often_enough_or_another_look_might_not_end(
    seen: list[str], looks: int, seconds: float, looked: int
) -> None:
    left, pauses = [seconds], []
    given = iter(seen)

    def sleep(pause: float) -> None:
        pauses.append(pause)
        left[0] -= pause

    last = look_until(
        lambda: next(given),
        is_done=lambda each: each == "done",
        looks=looks,
        every_s=EVERY_S,
        takes_at_most_s=TAKES_AT_MOST_S,
        seconds_left=lambda: left[0],
        sleep=sleep,
    )
    assert last == seen[looked - 1]
    assert pauses == [EVERY_S] * (looked - 1)
