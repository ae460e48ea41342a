"""Functions run as on Lambda: warm, one at a time, with a timeout."""

import dataclasses
import io
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam.sessions import Credentials
from local.lambdas.function import Function, InvocationFailed
from project import paths

CODE = """
import os, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("called", calls, flush=True)
    if event.get("sleep"): time.sleep(event["sleep"])
    if event.get("die"): os._exit(3)
    if event.get("raise"): raise ValueError("bad event")
    left = context.get_remaining_time_in_millis()
    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    region, url = os.environ["REGION_FROM_TEMPLATE"], os.environ["URL"]
    return {"calls": calls, "region": region, "left": left, "url": url, "keys": keys}
"""


def on_this_machine(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value.replace("webserver.stack:8080", "127.0.0.1:1") for name, value in environment.items()}


class FakeLambda:
    """Answers as the embedded API does; only the package's address is a file instead of HTTP."""

    def __init__(self, package: Path, timeout: int) -> None:
        self.answer = {
            "Configuration": {
                "FunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
                "Role": "arn:aws:iam::123456789012:role/r",
                "Handler": "app.handler",
                "Timeout": timeout,
                "Environment": {"Variables": {"REGION_FROM_TEMPLATE": "x", "URL": "http://webserver.stack:8080/"}},
            },
            "Code": {"Location": package.as_uri()},
        }

    def get_function(self, **_: str) -> dict[str, Any]:
        return self.answer


class FakeSession:
    """A session of a role, whose credentials a test renews."""

    def __init__(self, role: str) -> None:
        expires = datetime(2030, 1, 1, tzinfo=UTC)
        self.given = Credentials(role=role, key_id="ASIA1", secret="s", token="t", expires=expires)

    def credentials(self) -> Credentials:
        return self.given


@pytest.fixture
def sessions() -> list[FakeSession]:
    """Return a list for the sessions that are begun."""
    return []


@pytest.fixture
def function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, sessions: list[FakeSession]
) -> Iterator[Function]:
    def assume(role: str) -> Any:
        sessions.append(FakeSession(role))
        return sessions[-1]

    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(paths, "FUNCTIONS", tmp_path / "functions")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", CODE)
    (tmp_path / "package.zip").write_bytes(data.getvalue())
    clients = type("Clients", (), {"lambda": FakeLambda(tmp_path / "package.zip", getattr(request, "param", 10))})()
    made = Function(clients=clients, name="f", platform={}, resolve=on_this_machine, assume=assume)
    yield made
    made.close()


def test_the_process_stays_warm(function: Function) -> None:
    assert [function.invoke({})["calls"] for _ in range(3)] == [1, 2, 3]


def test_the_environment_and_the_deadline_are_the_deployed_ones(function: Function) -> None:
    result = function.invoke({})
    assert result["region"] == "x"
    assert 5_000 < result["left"] <= 10_000


def test_the_process_has_the_credentials_of_the_functions_role(function: Function, sessions: list[FakeSession]) -> None:
    (session,) = sessions
    assert session.given.role == "arn:aws:iam::123456789012:role/r"
    assert function.invoke({})["keys"] == ["ASIA1", "s", "t"]


def test_a_process_with_old_credentials_is_replaced(function: Function, sessions: list[FakeSession]) -> None:
    assert function.invoke({})["calls"] == 1
    sessions[0].given = dataclasses.replace(sessions[0].given, key_id="ASIA2")
    renewed = [function.invoke({}) for _ in range(2)]
    assert [(each["calls"], each["keys"][0]) for each in renewed] == [(1, "ASIA2"), (2, "ASIA2")]


def test_an_invocation_after_a_deployment_runs_the_deployed_code_in_its_environment(
    function: Function, tmp_path: Path
) -> None:
    function.invoke({})
    second = function.in_second_process()
    deployed = function._lambda.answer["Configuration"]
    deployed["Environment"] = {"Variables": {"REGION_FROM_TEMPLATE": "y", "URL": ""}}
    assert (function.invoke({})["region"], function.invoke({})["calls"]) == ("y", 2)
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return 'new'")
    deployed["CodeSha256"] = "2/x="
    assert (function.invoke({}), second.invoke({})) == ("new", "new")
    second.close()


def test_a_cloud_map_name_becomes_an_address_of_this_machine(function: Function) -> None:
    assert function.invoke({})["url"] == "http://127.0.0.1:1/"


def test_the_functions_output_goes_to_its_log(function: Function) -> None:
    function.invoke({})
    assert "called 1" in function.log_path.read_text()


def test_an_exception_is_an_invocation_failure_and_keeps_the_process(function: Function) -> None:
    with pytest.raises(InvocationFailed, match="ValueError: bad event"):
        function.invoke({"raise": True})
    assert function.invoke({})["calls"] == 2


def test_a_process_that_ends_is_replaced(function: Function) -> None:
    with pytest.raises(InvocationFailed, match="process ended"):
        function.invoke({"die": True})
    assert function.invoke({})["calls"] == 1


@pytest.mark.parametrize("function", [4], indirect=True)  # a process starts within it
def test_a_function_that_times_out_is_ended(function: Function) -> None:
    with pytest.raises(InvocationFailed, match="timed out"):
        function.invoke({"sleep": 30})
    assert function.invoke({})["calls"] == 1


def test_an_overlapping_invocation_waits_its_turn(function: Function) -> None:
    began = time.monotonic()
    first = threading.Thread(target=function.invoke, args=({"sleep": 1},))
    first.start()
    time.sleep(0.3)
    assert function.invoke({})["calls"] == 2
    assert time.monotonic() - began >= 1
    first.join()


def test_a_closed_function_is_not_invoked_again(function: Function) -> None:
    function.close()
    with pytest.raises(InvocationFailed, match="stopped"):
        function.invoke({})


def test_a_throttled_function_fails_the_current_invocation_and_makes_the_others_afterwards(function: Function) -> None:
    ended: list[str] = []

    def long() -> None:
        with pytest.raises(InvocationFailed):
            function.invoke({"sleep": 60})
        ended.append("first")

    first = threading.Thread(target=long)
    first.start()
    time.sleep(1)
    function.throttle()
    first.join(30)
    second = threading.Thread(target=lambda: ended.append(function.invoke({})["calls"]))
    second.start()
    second.join(0.5)
    assert ended == ["first"]
    function.unthrottle()
    second.join(30)
    assert ended == ["first", 1]


def test_a_function_in_a_second_process_runs_beside_the_first(function: Function) -> None:
    function.invoke({})
    second = function.in_second_process()
    slow = threading.Thread(target=function.invoke, args=({"sleep": 6},))
    slow.start()
    assert second.invoke({})["calls"] == 1
    assert slow.is_alive()
    second.close()
    slow.join()
    assert function.invoke({})["calls"] == 3
