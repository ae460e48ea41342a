"""The fleet's clients of Fargate's endpoints inside an ECS task, over HTTP."""

from collections.abc import Iterator

import pytest

from agent.identity import MetadataUnavailableError, read_task_arn
from agent.protection import TaskProtection
from tests.support.fake_ecs import TASK_ARN, FakeEcs


@pytest.fixture
def ecs() -> Iterator[FakeEcs]:
    fake = FakeEcs()
    yield fake
    fake.close()


def test_protection_is_asked_for_with_an_expiry_and_released_without(ecs: FakeEcs) -> None:
    protection = TaskProtection(ecs.agent_uri)
    assert protection.protect(30).granted is True
    assert protection.release().granted is True
    assert ecs.asked == [{"ProtectionEnabled": True, "ExpiresInMinutes": 30}, {"ProtectionEnabled": False}]


@pytest.mark.parametrize(
    ("mode", "granted", "reason"),
    [
        ("blocked", False, "DEPLOYMENT_BLOCKED"),
        ("invalid", False, "HTTP 400"),
        ("error", None, "HTTP 500"),
        ("garbage", None, "JSONDecodeError"),
    ],
)
def test_ungranted_protection_is_refused_or_unknown(ecs: FakeEcs, mode: str, granted: bool | None, reason: str) -> None:
    ecs.mode = mode
    answer = TaskProtection(ecs.agent_uri).protect(30)
    assert answer.granted is granted
    assert reason in answer.reason


def test_the_outcome_of_an_unanswered_request_is_unknown(ecs: FakeEcs) -> None:
    ecs.close()
    assert TaskProtection(ecs.agent_uri).protect(30).granted is None


def test_the_metadata_endpoint_names_the_task(ecs: FakeEcs) -> None:
    assert read_task_arn(ecs.metadata_uri) == TASK_ARN


@pytest.mark.parametrize("path", ["/nothing", ""])
def test_metadata_without_a_task_is_an_error_that_says_so(ecs: FakeEcs, path: str) -> None:
    with pytest.raises(MetadataUnavailableError, match="gives no task"):
        read_task_arn(ecs.metadata_uri + path + "/x", attempts=2, pause_s=0)
