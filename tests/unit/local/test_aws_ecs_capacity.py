"""The ECS control plane places tasks on capacity providers, and refuses some strategies."""

from collections import Counter
from typing import Any

import pytest

from local.aws.ecs.capacity import check_capacity, next_provider
from local.aws.ecs.errors import InvalidParameter

FARGATE, SPOT = "FARGATE", "FARGATE_SPOT"


def strategy(*, base: int, percent: int) -> list[dict[str, Any]]:
    """Return the strategy that the template declares."""
    return [
        {"capacityProvider": FARGATE, "base": base, "weight": 100 - percent},
        {"capacityProvider": SPOT, "weight": percent},
    ]


@pytest.mark.parametrize(
    ("base", "percent", "tasks", "on_spot"),
    [
        (1, 0, 5, 0),
        (1, 100, 1, 0),
        (1, 100, 5, 4),
        (0, 100, 5, 5),
        (2, 50, 6, 2),  # 2, and half of the other 4
        (0, 25, 8, 2),
    ],
)
def test_the_base_is_on_demand_and_the_rest_is_shared_by_weight(
    base: int, percent: int, tasks: int, on_spot: int
) -> None:
    placed: Counter[str] = Counter()
    for _ in range(tasks):
        placed[next_provider(strategy(base=base, percent=percent), placed=placed)] += 1
    assert placed[SPOT] == on_spot


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"launchType": FARGATE, "capacityProviderStrategy": strategy(base=0, percent=50)}, "both"),
        ({"capacityProviderStrategy": [{"capacityProvider": "mine", "weight": 1}]}, "not associated.*mine"),
        ({"capacityProviderStrategy": [{"capacityProvider": SPOT, "weight": 0}]}, "weight above 0"),
        (
            {"capacityProviderStrategy": [{"capacityProvider": n, "base": 1, "weight": 1} for n in (FARGATE, SPOT)]},
            "base",
        ),
    ],
)
def test_a_strategy_that_ecs_refuses_is_refused(request_: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidParameter, match=why):
        check_capacity(request_, associated=(FARGATE, SPOT))


@pytest.mark.parametrize("request_", [{}, {"launchType": FARGATE, "capacityProviderStrategy": []}])
def test_a_request_without_a_strategy_needs_no_association(request_: dict[str, Any]) -> None:
    check_capacity(request_, associated=())
