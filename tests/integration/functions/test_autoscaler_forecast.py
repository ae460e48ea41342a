"""The autoscaler reads the forecast from a real Redis and ignores an invalid one."""

from collections.abc import Callable, Iterator

import pytest

from fleet import registry
from tests.support.servers import RedisServer
from tests.support.two_pools import DEFAULT, Stack, two_pools

KEY = registry.forecast_key(DEFAULT.name)


@pytest.fixture
def stack(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with two_pools(redis_server, monkeypatch) as found:
        yield found


def in_s(stack: Stack, seconds: float) -> int:
    return int(stack.registry.now() + seconds)


def test_workers_are_started_for_a_run_that_is_due_soon(stack: Stack) -> None:
    stack.report("a", active=1)
    stack.registry.write_forecast(DEFAULT.name, ((in_s(stack, 30), 9), (in_s(stack, 800), 50)))
    outcome = stack.tick()[DEFAULT.name]
    assert stack.desired(DEFAULT) == 3  # 9 slots: 3 are free, 6 / 4 rounded up
    assert outcome.problems == ()


def test_an_empty_forecast_starts_no_worker(stack: Stack) -> None:
    stack.registry.write_forecast(DEFAULT.name, ())
    assert stack.tick()[DEFAULT.name].problems == ()
    assert stack.desired(DEFAULT) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda stack: stack.redis.set(KEY, "at noon"),
        lambda stack: stack.redis.set(KEY, f"[[{in_s(stack, 30)}, -4]]"),
        lambda stack: stack.redis.lpush(KEY, "nothing of the kind"),
        lambda stack: stack.registry.write_forecast(DEFAULT.name, ((in_s(stack, -3600), 40),)),
    ],
    ids=["no JSON", "a negative number of slots", "a key of another type", "a time long ago"],
)
def test_an_invalid_forecast_is_ignored_and_the_decision_says_so(
    stack: Stack, write: Callable[[Stack], object]
) -> None:
    write(stack)
    stack.enqueue("default", 9)
    outcome = stack.tick()[DEFAULT.name]
    assert stack.desired(DEFAULT) == 3  # 9 / 4, rounded up: as without a forecast
    (problem,) = outcome.problems
    assert problem.startswith("no forecast: ")


def test_the_forecast_of_one_pool_does_not_change_another(stack: Stack) -> None:
    stack.registry.write_forecast("big", ((in_s(stack, 30), 5),))
    stack.tick()
    assert stack.desired(DEFAULT) == 1
