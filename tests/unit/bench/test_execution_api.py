"""The sizes that so many running tasks need, from measured costs."""

import pytest

from bench.micro.execution_api.measure import every_second, of_today
from bench.micro.execution_api.sizes import beats_of, need


@pytest.mark.parametrize(
    ("task_s", "expected"),
    [
        (5, 0),
        (12, 2),  # at 5 and 10
        # at 5, 10, 15, 22.5, 33.75 and 50.6
        (60, 6),
    ],
)
def test_a_short_task_sends_few_heartbeats(task_s: float, expected: int) -> None:
    assert beats_of(task_s, of_today) == expected


def test_needs_follow_from_the_costs() -> None:
    # 1,000 tasks, each with a heartbeat a second at 5 ms: 59/60 x 5 cores; 1,000/60 starts at 30 ms: half a core
    found = need(1000, task_s=60, interval_s=every_second, beat_ms=5, cycle_ms=30, processes=1)
    assert found.beats_per_s == pytest.approx(1000 * 59 / 60)
    assert found.cores == pytest.approx(5 * 59 / 60 + 0.5)
    assert found.copies == 10  # of at most 60 % of a core each: 5.4 / 0.6 = 9.03
