"""Which ends of tasks a worker records, and as what."""

import json
from typing import Any

import pytest
import redis

from agent.ends import Ends, Try, end_of, try_of
from agent.runner.protocol import NOT_BEGUN, Outcome
from fleet.ends import DEADLINE, MEMORY, RUNNER, SUPERVISOR, End
from fleet.registry import Registry

A_TRY = Try(instance="01890000-0000-7000-8000-000000000001", number=2)
WORKLOAD = json.dumps({"token": "a secret", "ti": {"id": A_TRY.instance, "try_number": 2, "dag_id": "d"}})


@pytest.mark.parametrize(
    ("outcome", "at_deadline", "how"),
    [
        pytest.param(Outcome(), False, None, id="it ends by itself"),
        pytest.param(Outcome(memory_limit=4, peak=3), False, MEMORY, id="the worker has no memory left"),
        pytest.param(Outcome(memory_limit=4, peak=3), True, MEMORY, id="the same while the worker is stopped"),
        pytest.param(Outcome(), True, DEADLINE, id="the worker is stopped"),
        pytest.param(Outcome(error="SupervisorDied", reason="killed"), False, SUPERVISOR, id="its supervisor dies"),
        pytest.param(None, False, RUNNER, id="the runner dies"),
        pytest.param(NOT_BEGUN, False, None, id="it has not begun, and is queued again"),
        pytest.param(Outcome(error="ObsoleteMessageError"), False, None, id="its message is obsolete"),
        pytest.param(Outcome(error="TaskAlreadyRunningError"), True, None, id="it runs elsewhere"),
    ],
)
def test_an_end_is_recorded_as_what_it_is(outcome: Outcome | None, at_deadline: bool, how: str | None) -> None:
    end = end_of(A_TRY, outcome, at_deadline=at_deadline, t=1.0, worker="abc/worker")
    assert (None if end is None else end.how) == how


def test_a_record_of_memory_says_how_much_and_nothing_of_the_reason() -> None:
    outcome = Outcome(memory_limit=4, peak=3, reason="a secret")
    end = end_of(A_TRY, outcome, at_deadline=False, t=1.0, worker="abc/worker")
    assert end is not None
    assert (end.held, end.limit) == (3, 4)
    assert "secret" not in end.to_json()


@pytest.mark.parametrize(
    "workload",
    ["", "[]", "{}", '{"ti": 1}', '{"ti": {"id": 1, "try_number": 1}}', '{"ti": {"id": "a", "try_number": "1"}}'],
)
def test_a_workload_of_another_kind_is_no_try(workload: str) -> None:
    assert try_of(workload) is None


class Kept(Registry):
    """A registry that keeps what it is given, or of which the broker is away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.kept: list[tuple[str, End]] = []
        self._is_away = is_away

    def now(self) -> float:
        if self._is_away:
            raise redis.ConnectionError("away")
        return 5.0

    def record_end(self, pool: str, end: End) -> None:
        self.kept.append((pool, end))


def note(registry: Kept, outcome: Outcome | None, workload: str = WORKLOAD, **situation: Any) -> list[tuple[str, End]]:
    Ends(registry, pool="worker", worker="abc/worker").note(workload, outcome, **{"at_deadline": False, **situation})
    return registry.kept


def test_the_try_is_the_workloads_and_the_pool_is_the_workers_own() -> None:
    ((pool, end),) = note(Kept(), None)
    assert (pool, end.instance, end.try_number, end.t, end.worker) == ("worker", A_TRY.instance, 2, 5.0, "abc/worker")
    assert "a secret" not in end.to_json()


def test_an_end_of_its_own_asks_no_broker() -> None:
    assert note(Kept(is_away=True), Outcome()) == []


def test_a_broker_that_is_away_costs_the_record_and_not_the_task() -> None:
    assert note(Kept(is_away=True), None) == []
