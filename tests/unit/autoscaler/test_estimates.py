"""Growing demand, from what the ticks have seen."""

import pytest

from autoscaler.boots import tasks_to_come
from autoscaler.estimates import DemandSample, grown


@pytest.mark.parametrize(
    ("demands", "expected"),
    [
        ((), 0),
        ((7,), 0),
        ((40, 60), 20),
        ((40, 90, 60), 20),  # what has ended again is no growth
        ((60, 40), 0),
        ((40, 200), 40),  # at most twofold
        ((0, 200), 0),  # a burst on an idle pool
    ],
)
def test_demand_has_grown_by_what_was_added_since_the_first_sample(demands: tuple[int, ...], expected: int) -> None:
    assert grown([DemandSample(at=5.0 * tick, demand=demand) for tick, demand in enumerate(demands)]) == expected


@pytest.mark.parametrize(("more", "tasks"), [(0, 0), (1, 0), (2, 1), (20, 15), (21, 15), (22, 16), (400, 16)])
def test_three_quarters_of_the_growth_are_expected_but_no_more_than_one_worker_takes(more: int, tasks: int) -> None:
    assert tasks_to_come(grown=more, concurrency=16) == tasks
