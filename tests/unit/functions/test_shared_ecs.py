"""How the functions read ECS's description of a service."""

import pytest

from shared.ecs import is_rolling_out


@pytest.mark.parametrize(
    ("deployments", "rolls"),
    [
        ([("PRIMARY", "COMPLETED")], False),
        ([("PRIMARY", "IN_PROGRESS")], True),
        ([("PRIMARY", "COMPLETED"), ("ACTIVE", "COMPLETED")], True),  # old tasks are left
        ([("PRIMARY", "COMPLETED"), ("INACTIVE", "IN_PROGRESS")], False),
        ([("PRIMARY", "FAILED")], False),
        ([("PRIMARY", "")], False),  # ECS sets the state for rolling deployments only
        ([], False),
    ],
)
def test_a_service_rolls_out_until_its_only_live_deployment_is_steady(
    deployments: list[tuple[str, str]], rolls: bool
) -> None:
    described = [{"status": status, **({"rolloutState": state} if state else {})} for status, state in deployments]
    assert is_rolling_out({"deployments": described}) is rolls
