"""The endpoint of the ECS agent answers for a task, or fails as a fault demands."""

from __future__ import annotations

from typing import Any

from local.fargate.endpoint import Endpoint


class SilentEcs:
    """Answers every call about protection, and counts them."""

    def __init__(self) -> None:
        self.calls = 0

    def update_task_protection(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        return {"protectedTasks": [{"taskArn": "arn/1", "protectionEnabled": True}], "failures": []}


class RolesOf:
    """The roles of tasks that all call the same ECS."""

    def __init__(self, ecs: SilentEcs) -> None:
        self._ecs = ecs

    def of_task(self, _task_id: str) -> RolesOf:
        return self

    def client(self, _service: str) -> SilentEcs:
        return self._ecs


def test_a_failing_endpoint_leaves_ecs_alone_until_it_recovers() -> None:
    ecs = SilentEcs()
    roles: Any = RolesOf(ecs)
    endpoint = Endpoint(roles=roles, cluster="c", metadata_of=lambda task_id: {"TaskARN": f"arn/{task_id}"})
    path, body = "/api/1/task-protection/v1/state", b'{"ProtectionEnabled": true}'
    try:
        endpoint.fail_with(500, {"error": {}})
        assert endpoint.put(path, body) == (500, {"error": {}})
        assert ecs.calls == 0
        endpoint.recover()
        assert endpoint.put(path, body)[0] == 200
    finally:
        endpoint.close()
