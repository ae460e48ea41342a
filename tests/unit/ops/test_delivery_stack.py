"""How a deployment ended, by the events of its stack."""

import pytest

from ops.delivery.stack import final_status, first_failure

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/airflow-dev/1"


def event(status: str, *, of: str = "airflow-dev", why: str | None = None) -> dict[str, str]:
    is_stack = of == "airflow-dev"
    made = {
        "StackId": STACK_ID,
        "LogicalResourceId": of,
        "PhysicalResourceId": STACK_ID if is_stack else of,
        "ResourceType": "AWS::CloudFormation::Stack" if is_stack else "AWS::ECS::Service",
        "ResourceStatus": status,
    }
    return made if why is None else {**made, "ResourceStatusReason": why}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], None),
        (["UPDATE_IN_PROGRESS"], None),
        (["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"], "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        (["UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"], "UPDATE_COMPLETE"),
        (["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"], None),
        (["UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"], None),
        (["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_IN_PROGRESS"], "UPDATE_ROLLBACK_COMPLETE"),
        (["UPDATE_ROLLBACK_FAILED"], "UPDATE_ROLLBACK_FAILED"),
    ],
)
def test_a_stack_is_at_rest_when_its_own_events_say_so(statuses: list[str], expected: str | None) -> None:
    assert final_status([event("UPDATE_COMPLETE", of="WorkerService"), *map(event, statuses)]) == expected


def test_the_resource_that_failed_first_is_named() -> None:
    events = [
        event("UPDATE_ROLLBACK_COMPLETE"),
        event("UPDATE_FAILED", of="FlowerService", why="Resource update cancelled"),
        event("UPDATE_FAILED", of="WorkerService", why="the circuit breaker was triggered"),
        event("UPDATE_IN_PROGRESS"),
    ]
    assert first_failure(events) == "WorkerService: the circuit breaker was triggered"
    assert first_failure([event("ROLLBACK_COMPLETE")]) == "no reason was given"
