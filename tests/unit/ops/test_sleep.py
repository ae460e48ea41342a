"""The command that puts an environment to sleep: what it asks, how long it waits, what it says, how it exits."""

import io
import json
from typing import Any

import pytest

from ops.deployed import ASK_EVERY_S, DeployedStack, FunctionFailed, ask_function
from ops.sleep.__main__ import ask_sleeper, exit_code, main, wait_until
from shared import tags
from shared.tags import ASLEEP, AWAKE
from sleeper import handler


def record(phase: str, says: str = "", *, is_settled: bool = False) -> dict[str, Any]:
    """Return a record as the function answers it."""
    return {"phase": phase, "says": says or phase, "is_settled": is_settled, "gave_up": False, "steps": []}


SLEEPS, IS_AWAKE = record(ASLEEP, is_settled=True), record(AWAKE, is_settled=True)
WAITS = record("falling asleep", "waits: 3 queued")


class FakeStack:
    """A stack whose function gives this answer."""

    def __init__(self, answer: dict[str, Any], *, failed: bool = False) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer, self._failed = answer, failed

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:
        assert FunctionName == "f"
        self.asked.append(json.loads(Payload))
        failed = {"FunctionError": "Unhandled"} if self._failed else {}
        return {"Payload": io.BytesIO(json.dumps(self._answer).encode()), **failed}

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        return {"Stacks": [{"Outputs": [{"OutputKey": "SleeperFunctionName", "OutputValue": "f"}]}]}

    @property
    def stack(self) -> DeployedStack:
        return DeployedStack(name="s", cloudformation=self, functions=self, client=lambda _: self)


def waited(*answers: dict[str, Any], seconds: float) -> tuple[list[str | None], list[str], dict[str, Any]]:
    """Return what was asked, the lines shown, and the last answer."""
    now, asked, said = [0.0], [], list[str]()
    given = iter(answers)

    def asking(want: str | None) -> dict[str, Any]:
        asked.append(want)
        return next(given)

    last = wait_until(
        ASLEEP,
        ask=asking,
        seconds=seconds,
        progress=said.append,
        clock=lambda: now[0],
        sleep=lambda pause: now.__setitem__(0, now[0] + pause),
    )
    return asked, said, last


def test_the_command_uses_the_functions_states_and_keys() -> None:
    assert (ASLEEP, AWAKE) == tags.DESIRED_STATES
    given = FakeStack(SLEEPS)
    assert ask_sleeper(given.stack, ASLEEP) == SLEEPS
    assert given.asked == [{handler.TICKS: 1, handler.WANT: ASLEEP}]


def test_a_function_that_fails_is_no_answer() -> None:
    with pytest.raises(FunctionFailed, match="POOLS is missing"):
        ask_sleeper(FakeStack({"errorMessage": "POOLS is missing"}, failed=True).stack, None)


def test_a_stack_without_the_function_is_named() -> None:
    with pytest.raises(FunctionFailed, match="the stack s has no output Sleeper: deploy this version's template first"):
        ask_function(FakeStack(SLEEPS).stack, output="Sleeper", event={}, described_as="the sleeper")


def test_the_desired_state_is_set_once_and_each_new_line_is_shown_once() -> None:
    asked, said, last = waited(WAITS, WAITS, SLEEPS, seconds=60)
    assert asked == [ASLEEP, None, None]
    assert said == ["    0 s  waits: 3 queued", "   10 s  asleep"]
    assert last == SLEEPS


def test_the_wait_ends_at_its_limit() -> None:
    asked, _, last = waited(*[WAITS] * 9, seconds=2 * ASK_EVERY_S)
    assert (len(asked), last) == (3, WAITS)  # at 0, 5 and 10 s


@pytest.mark.parametrize(
    ("answer", "wanted", "code"), [(SLEEPS, ASLEEP, 0), (IS_AWAKE, AWAKE, 0), (IS_AWAKE, ASLEEP, 1), (WAITS, ASLEEP, 2)]
)
def test_the_exit_code_tells_done_stayed_and_not_yet_apart(answer: dict[str, Any], wanted: str, code: int) -> None:
    assert exit_code(answer, wanted=wanted) == code


def test_a_missing_environment_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([ASLEEP, "--env", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("unknown: ")
