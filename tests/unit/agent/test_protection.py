"""Unit tests of what the ECS agent's answers mean."""

from typing import Any

import pytest

from agent.protection import read_answer


@pytest.mark.parametrize("asked", [True, False])
def test_an_answer_that_says_what_was_asked_grants_it(asked: bool) -> None:
    assert read_answer({"protection": {"ProtectionEnabled": asked}}, asked=asked).granted is True


@pytest.mark.parametrize("reason", ["DEPLOYMENT_BLOCKED", "TASK_NOT_VALID"])
def test_a_failure_says_that_nothing_changed_and_why(reason: str) -> None:
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
def test_an_answer_that_does_not_say_leaves_it_unknown(answer: Any) -> None:
    assert read_answer(answer, asked=True).granted is None
