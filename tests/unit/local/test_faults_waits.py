"""How long tasks wait beside a flood, against the same loads without one."""

from typing import Any

import pytest

from local.scenarios.faults.waits import Boot, Reading, Waits, boots_of, percentile, waits_of

AT_S = 1767225600.0  # 2026-01-01T00:00:00Z


def instance(scheduled: str | None, started: str | None) -> dict[str, Any]:
    return {"scheduled_when": scheduled, "start_date": started}


SIX_SECONDS = instance("2026-01-01T00:00:10Z", "2026-01-01T00:00:16Z")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, 1),
        (19, 19),  # 0.95 * 19 = 18.05: 18 waits are fewer than 95 %
        (20, 19),
        (100, 95),
    ],
)
def test_the_percentile_is_the_least_wait_that_95_of_100_do_not_exceed(count: int, expected: int) -> None:
    assert percentile([float(wait) for wait in range(count, 0, -1)]) == expected


@pytest.mark.parametrize(
    ("alone", "limit"),
    [
        (0.5, 2.5),  # 1.2 times would be 0.6 s, less than the scheduler's jitter
        (10.0, 12.0),
        (20.0, 24.0),
    ],
)
def test_a_pool_starves_beyond_the_limit_and_not_at_it(alone: float, limit: float) -> None:
    assert Waits(pool="one", alone=[alone], beside=[limit]).problems == []
    (problem,) = Waits(pool="one", alone=[alone], beside=[limit + 0.1]).problems
    assert problem.startswith(f"pool one: 95 % of the tasks waited up to {limit + 0.1:.1f} s beside the flood")
    assert f"{limit:.1f} s is the limit" in problem


@pytest.mark.parametrize(("alone", "beside", "when"), [([], [1.0], "without"), ([1.0], [], "beside")])
def test_a_pool_in_which_nothing_started_has_not_waited_for_nothing(
    alone: list[float], beside: list[float], when: str
) -> None:
    (problem,) = Waits(pool="one", alone=alone, beside=beside).problems
    assert problem == f"no task of pool one started {when} the flood"


def test_a_wait_lasts_from_scheduled_to_running() -> None:
    assert waits_of([SIX_SECONDS, instance("2026-01-01T00:00:10.5Z", "2026-01-01T00:00:12Z")]) == [6.0, 1.5]


@pytest.mark.parametrize("never", [instance(None, None), instance("2026-01-01T00:00:10Z", None)])
def test_a_task_that_never_started_has_no_wait(never: dict[str, Any]) -> None:
    assert waits_of([never]) == []


@pytest.mark.parametrize(
    ("from_s", "until_s", "wait"),
    [
        (11, 14, 3.0),  # 6 - 3
        (5, 12, 4.0),  # its last two seconds
        (15, 30, 5.0),  # another worker took the task
        (0, 10, 6.0),
        (16, 30, 6.0),
        (0, 30, 0.0),
    ],
)
def test_the_part_of_a_wait_in_which_a_worker_boots_does_not_count(from_s: int, until_s: int, wait: float) -> None:
    boot = Boot(launched_at=AT_S + from_s, consumed_at=AT_S + until_s)
    assert waits_of([SIX_SECONDS], [boot]) == [wait]


def readings(*desired_and_consuming: tuple[int, bool]) -> list[Reading]:
    """Return a reading a second."""
    return [
        Reading(at=float(at), desired=desired, is_consuming=is_consuming)
        for at, (desired, is_consuming) in enumerate(desired_and_consuming)
    ]


IDLE, LAUNCHED, READY, DRAINING = (0, False), (1, False), (1, True), (1, False)


@pytest.mark.parametrize(
    ("taken", "boots"),
    [
        ([IDLE, LAUNCHED, LAUNCHED, READY, READY], [(1, 3)]),
        ([READY, DRAINING, DRAINING, READY], []),  # ordered to consume again
        ([READY, DRAINING, IDLE, LAUNCHED, READY], [(3, 4)]),
        ([IDLE, LAUNCHED, IDLE, IDLE], []),  # the launch was taken back
        ([IDLE, LAUNCHED, LAUNCHED], []),
        ([], []),
    ],
)
def test_a_boot_lasts_from_the_launch_until_the_worker_is_first_seen_to_consume(
    taken: list[tuple[int, bool]], boots: list[tuple[int, int]]
) -> None:
    found = [(boot.launched_at, boot.consumed_at) for boot in boots_of(readings(*taken))]
    assert found == boots
