"""When the queues' lengths call for a tick before the next regular one."""

from collections.abc import Mapping

import pytest

from autoscaler.glance import Queued, more_wait
from autoscaler.observation import Unreadable

AWAY = Unreadable(source="queues", why="away")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"worker": {"default": 0}}, {"worker": {"default": 0}}, False),
        ({"worker": {"default": 0}}, {"worker": {"default": 1}}, True),
        ({"worker": {"default": 5}}, {"worker": {"default": 5}}, False),
        ({"worker": {"default": 5}}, {"worker": {"default": 4}}, False),
        # A pool's queues count together: a message that was taken makes up for one that has come.
        ({"worker": {"default": 5, "more": 0}}, {"worker": {"default": 4, "more": 1}}, False),
        # One pool's end does not hide another one's burst.
        ({"worker": {"default": 9}, "big": {"big": 0}}, {"worker": {"default": 0}, "big": {"big": 1}}, True),
        ({"worker": AWAY}, {"worker": {"default": 9}}, False),
        ({"worker": {"default": 0}}, {"worker": AWAY}, False),
        ({"worker": {"default": 0}}, {}, False),
    ],
)
def test_a_tick_is_due_at_once_when_more_messages_wait(
    before: Mapping[str, Queued], now: Mapping[str, Queued], expected: bool
) -> None:
    assert more_wait(before, now) is expected
