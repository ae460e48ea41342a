"""The fault in which AWS answers the functions wrongly: what counts as said, and what as drained meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleet.member import CONSUMING, DRAINED, DRAINING
from local.scenarios.faults.aws import KINDS, LATE_S, _spoil, began_to_drain, has_trouble
from local.scenarios.sampling import WorkerSample
from local.servers.troubled_api import HttpAnswer, Refusal
from shared.aws import READ_TIMEOUT_S
from tests.support.members import A_WORKER


def sample(**states: str) -> WorkerSample:
    workers = tuple(replace(A_WORKER, id=name, state=state) for name, state in states.items())
    return WorkerSample(at=0.0, desired=1, running=1, queued=0, workers=workers, exposed=())


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"unreadable": ["ECS: throttled"], "problems": []}, True),
        ({"unreadable": [], "problems": ["not confirmed"]}, True),
        ({"unreadable": [], "problems": []}, False),
        ({}, False),
    ],
)
def test_a_decision_says_what_was_not_read_or_not_done(decision: dict[str, Any], said: bool) -> None:
    assert has_trouble(decision) is said


def test_only_workers_that_begin_to_drain_meanwhile_count() -> None:
    before = sample(a=CONSUMING, b=DRAINING, c=CONSUMING)
    assert began_to_drain([before, sample(a=CONSUMING, b=DRAINED)]) == frozenset()
    assert began_to_drain([before, sample(a=DRAINING), sample(c=DRAINED)]) == {"a", "c"}
    assert began_to_drain([]) == frozenset()


def test_an_answer_that_is_late_comes_after_the_function_has_given_up() -> None:
    late = KINDS["late"]
    assert not isinstance(late, Refusal)
    assert late(HttpAnswer(status=200, body=b"")).delay_s == LATE_S > READ_TIMEOUT_S


class FakeApi:
    """A proxy through which a function makes one call while each kind but one is on."""

    def __init__(self, quiet: str) -> None:
        self.calls: list[str] = []
        self.spoiled: list[Any] = []
        self._quiet = KINDS[quiet]

    def spoil_all(self, trouble: Any) -> None:
        self.spoiled.append(trouble)
        if trouble is not None and trouble is not self._quiet:
            self.calls.append("DescribeServices")


def test_each_kind_is_tried_and_its_calls_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.scenarios.faults.aws.EACH_S", 0)
    api: Any = FakeApi(quiet="late")
    calls = _spoil(api)
    assert api.spoiled == [*KINDS.values(), None]
    assert calls == {kind: int(kind != "late") for kind in KINDS}
