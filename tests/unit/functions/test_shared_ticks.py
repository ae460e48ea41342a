"""How many ticks a function makes within one invocation."""

import pytest

from shared.ticks import tick_until

EVERY_S = 15.0
TAKES_AT_MOST_S = 10.0


@pytest.mark.parametrize(
    ("seen", "ticks", "seconds", "made"),
    [
        (["done", "busy"], 4, 300.0, 1),
        (["busy", "busy", "done", "busy"], 4, 300.0, 3),
        (["busy"] * 9, 4, 300.0, 4),
        (["busy"] * 9, 1, 300.0, 1),
        (["busy"] * 9, 4, 39.9, 2),  # a pause later 24.9 s are left
        (["busy"] * 9, 4, 40.0, 3),  # 25 s are just enough for a pause and a tick
        (["busy"] * 9, 4, 24.9, 1),
    ],
    ids=["done at once", "done later", "never done", "one was asked for", "little time", "just enough time", "none"],
)
def test_ticks_go_on_until_one_is_done_or_all_were_made_or_another_might_not_end(
    seen: list[str], ticks: int, seconds: float, made: int
) -> None:
    left, pauses = [seconds], []
    given = iter(seen)

    def sleep(pause: float) -> None:
        pauses.append(pause)
        left[0] -= pause

    last = tick_until(
        lambda: next(given),
        is_done=lambda each: each == "done",
        ticks=ticks,
        every_s=EVERY_S,
        longest_tick_s=TAKES_AT_MOST_S,
        seconds_left=lambda: left[0],
        sleep=sleep,
    )
    assert last == seen[made - 1]
    assert pauses == [EVERY_S] * (made - 1)
