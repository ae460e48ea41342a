"""Unit tests of how many tasks of each pool may be in the broker."""

import pytest

from agent.shares import RECENT_S, Shares
from fleet.pools import Pool

NOW = 1000.0


def pool(name: str, *, maximum: int, concurrency: int, queues: tuple[str, ...] = ()) -> Pool:
    return Pool(name=name, queues=queues or (name,), minimum=0, maximum=maximum, concurrency=concurrency)


def shares() -> Shares:
    """Return the shares of three pools, of 1, 4 and 160 slots."""
    return Shares(
        (
            pool("small", maximum=1, concurrency=1),
            pool("worker", maximum=2, concurrency=2, queues=("default", "other")),
            pool("large", maximum=10, concurrency=16),
        )
    )


@pytest.mark.parametrize(
    ("name", "published", "waiting", "expected"),
    [
        ("small", 0, None, 3),  # its slot, and 2 messages ahead
        ("large", 0, None, 180),  # 160 slots and an eighth of them
        ("worker", 4, None, 2),
        ("worker", 6, None, 0),
        ("worker", 6, 2, 0),
        # All six run, or their results are late: two messages may wait.
        ("worker", 6, 0, 2),
        ("worker", 6, 1, 1),
        # Old workers drain while new ones run tasks: up to twice the slots, and what may wait.
        ("worker", 9, 0, 1),
        ("worker", 10, 0, 0),
        ("worker", 50, 0, 0),
        ("worker", 50, None, 0),
        # An idle pool is filled at once, whatever waits.
        ("worker", 0, 0, 6),
    ],
)
def test_a_pool_may_have_as_many_tasks_as_it_can_run_and_a_few_more(
    name: str, published: int, waiting: int | None, expected: int
) -> None:
    assert shares().room(name, published=published, waiting=waiting, now=NOW) == expected


def test_more_messages_wait_where_tasks_are_short() -> None:
    found = shares()
    for number in range(50):
        found.note_end("other", now=NOW + number / 10)
    ended_s = NOW + 4.9
    assert [found.ahead(name, now=ended_s) for name in ("small", "worker", "large")] == [2, 50, 20]
    assert found.ahead("worker", now=ended_s + RECENT_S - 1) == 11  # those of the last second, and the one before it
    assert found.ahead("worker", now=ended_s + RECENT_S + 1) == 2


def test_the_backlog_that_the_autoscaler_sees_calls_for_all_workers() -> None:
    found = shares()
    assert all(found.room(name, published=0, waiting=0, now=NOW) >= found.slots(name) for name in ("small", "large"))


def test_queues_of_no_pool_are_no_pools() -> None:
    found = shares()
    found.note_end("misspelt", now=NOW)
    found.note_end(None, now=NOW)
    assert [found.pool_of(queue) for queue in ("default", "other", "misspelt", None)] == [
        "worker",
        "worker",
        None,
        None,
    ]
