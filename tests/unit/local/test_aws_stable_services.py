"""When a service is what CloudFormation waits for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from local.aws.backend.cloud import Cloud
from local.aws.resources.ecs import KINDS
from local.aws.resources.kind import PhysicalResource, Unstable

(SERVICE,) = [kind for kind in KINDS if kind.type == "AWS::ECS::Service"]


class FakeEcs:
    """ECS with one service; `tasks`: those that it lists. The deployments' ids are their places."""

    def __init__(self, *deployments: tuple[str, str], tasks: tuple[str, ...] = ("t",)) -> None:
        self._deployments = [
            {"id": str(number), "status": status, "rolloutState": state}
            for number, (status, state) in enumerate(deployments)
        ]
        self._tasks = list(tasks)

    def client(self, _service: str) -> FakeEcs:
        return self

    def describe_services(self, **_request: Any) -> dict[str, Any]:
        return {"services": [{"deployments": self._deployments}] if self._deployments else []}

    def list_tasks(self, **_request: Any) -> dict[str, Any]:
        return {"taskArns": self._tasks}


def is_stable(ecs: FakeEcs, *, own: int = 0) -> bool:
    """Return whether the service is stable; `own`: the place of the deployment that CloudFormation began."""
    assert SERVICE.is_stable is not None
    physical = PhysicalResource(id="s", attributes={"_cluster": "c", "_deployment": str(own)})
    return SERVICE.is_stable(cast(Cloud, ecs), physical)


@pytest.mark.parametrize(
    ("deployments", "stable"),
    [
        ([("PRIMARY", "COMPLETED")], True),
        ([("PRIMARY", "IN_PROGRESS")], False),
        ([("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")], False),
        ([("PRIMARY", "COMPLETED"), ("ACTIVE", "COMPLETED")], False),
    ],
)
def test_a_service_is_stable_when_its_newest_deployment_is_complete_and_alone(
    deployments: list[tuple[str, str]], stable: bool
) -> None:
    assert is_stable(FakeEcs(*deployments)) is stable


def test_no_one_waits_for_tasks_while_none_has_run() -> None:
    assert is_stable(FakeEcs(("PRIMARY", "IN_PROGRESS"), tasks=()))


@pytest.mark.parametrize("deployments", [[("PRIMARY", "FAILED")], [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "FAILED")]])
def test_a_deployment_that_ecs_gave_up_is_never_stable(deployments: list[tuple[str, str]]) -> None:
    with pytest.raises(Unstable, match="ECS Deployment Circuit Breaker was triggered"):
        is_stable(FakeEcs(*deployments), own=len(deployments) - 1)


def test_a_rollback_is_not_judged_by_the_deployment_that_failed_before_it() -> None:
    assert not is_stable(FakeEcs(("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "FAILED")))


def test_a_service_that_is_gone_is_never_stable() -> None:
    with pytest.raises(Unstable, match="not found"):
        is_stable(FakeEcs())
