"""Another terminal invokes the local stack's functions with boto3."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from local.lambdas.function import InvocationFailed
from local.lambdas.invocations import Invocations


class Echo:
    """A function that answers with its event."""

    def __init__(self) -> None:
        self.processes = 0
        self.closed = False

    def in_second_process(self) -> "Echo":
        self.processes += 1
        return self

    def invoke(self, event: dict[str, Any]) -> Any:
        if event.get("raise"):
            raise InvocationFailed("it raised")
        return {"echo": event}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def client(echo: Echo) -> Iterator[Any]:
    functions = {"echo": echo}
    server = Invocations(lambda name: next(found for known, found in functions.items() if known == name))  # type: ignore[arg-type,return-value]
    session = boto3.session.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-central-1")
    yield session.client("lambda", endpoint_url=server.address)
    server.close()


def test_a_function_is_invoked_in_its_own_process_beside_the_rules(client: Any, echo: Echo) -> None:
    for number in range(2):
        answer = client.invoke(FunctionName="echo", Payload=json.dumps({"n": number}))
        assert json.load(answer["Payload"]) == {"echo": {"n": number}}
        assert "FunctionError" not in answer
    assert echo.processes == 1


def test_a_function_that_fails_answers_as_on_lambda(client: Any) -> None:
    answer = client.invoke(FunctionName="echo", Payload=b'{"raise": true}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "it raised"


def test_a_function_that_does_not_exist_is_an_error_of_the_api(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="other", Payload=b"{}")
