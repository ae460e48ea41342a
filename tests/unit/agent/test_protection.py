"""Unit tests of the interpretation of the ECS agent's answers."""

from typing import Any

import pytest

from agent.protection import read_answer


@pytest.mark.parametrize("asked", [True, False])
def test_an_answer_that_confirms_the_request_grants_it(asked: bool) -> None:
    assert read_answer({"protection": {"ProtectionEnabled": asked}}, asked=asked).granted is True


@pytest.mark.parametrize("reason", ["DEPLOYMENT_BLOCKED", "TASK_NOT_VALID"])
def test_a_failure_means_that_nothing_changed_and_gives_the_reason(reason: str) -> None:
    answer = read_answer({"failure": {"Arn": "arn", "Reason": reason, "Detail": None}}, asked=True)
    assert (answer.granted, answer.reason) == (False, reason)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"protection": {"ProtectionEnabled": False}}, id="the opposite"),
        pytest.param({"protection": {"ProtectionEnabled": "true"}}, id="a word"),
        pytest.param({"protection": None}, id="no protection"),
        pytest.param({"error": {"Code": "ServerException"}}, id="an error"),
        pytest.param({}, id="empty"),
        pytest.param([], id="a list"),
        pytest.param(None, id="nothing"),
    ],
)
def test_any_other_answer_leaves_the_outcome_unknown(answer: Any) -> None:
    assert read_answer(answer, asked=True).granted is None
