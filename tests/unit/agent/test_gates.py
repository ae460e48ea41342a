"""Unit tests of the order of a deployment."""

from dataclasses import replace
from typing import Any

import pytest

from agent.gates import (
    CONFIRM_S,
    STANDSTILL_S,
    Gate,
    Permission,
    Rule,
    limit_s,
    other_workers,
    other_workers_unless_newer,
)
from fleet.airflow_version import is_older
from fleet.member import CONSUMING, DRAINED, DRAINING, RUNNING, STARTING, STOPPED, Code, Member
from fleet.registry import Roster

OLD = Code(image_version="1", dags_hash="a", airflow_version="3.3.2")
NEW = Code(image_version="2", dags_hash="b", airflow_version="3.3.2")
UPGRADED = Code(image_version="2", dags_hash="b", airflow_version="3.4.0")
LIMIT_S = 900.0


def member(role: str, code: Code, *, task: str = "t", state: str = RUNNING) -> Member:
    return Member(
        id=f"{task}/{role}",
        role=role,
        pool="worker" if role == "worker" else None,
        image_version=code.image_version,
        dags_hash=code.dags_hash,
        airflow_version=code.airflow_version,
        state=state,
        slots=0,
        active=0,
        protected=False,
        started_at=0.0,
        task_arn="",
        container=role,
        queues=(),
    )


def roster(*members: Member, malformed: tuple[str, ...] = ()) -> Roster:
    return Roster(members=members, malformed=malformed)


OLD_AIRFLOW = (member("webserver", OLD), member("scheduler", OLD))


def test_a_gate_whose_workers_are_given_up_fails_while_another_scheduler_runs() -> None:
    gate, waiting = Gate(limit_s=LIMIT_S, now=0.0), roster(*OLD_AIRFLOW, member("worker", OLD, state=CONSUMING))
    assert not gate.check(waiting, rule=other_workers, code=NEW, now=1.0).has_failed
    passage = gate.check(waiting, rule=other_workers, code=NEW, now=2.0, is_given_up=True)
    assert (passage.has_failed, passage.is_open) == (True, False)
    assert "t/worker (consuming" in passage.why


@pytest.mark.parametrize("present", [roster(member("worker", OLD, state=CONSUMING)), None])
def test_a_gate_without_another_scheduler_or_a_registry_waits_whatever_is_given_up(present: Roster | None) -> None:
    gate = Gate(limit_s=LIMIT_S, now=0.0)
    assert not gate.check(present, rule=other_workers, code=NEW, now=1.0, is_given_up=True).has_failed
    assert gate.check(present, rule=other_workers, code=NEW, now=LIMIT_S, is_given_up=True).is_open


@pytest.mark.parametrize("rule", [other_workers, other_workers_unless_newer])
def test_a_copy_of_a_scheduler_that_runs_already_is_not_failed_by_workers_given_up(rule: Rule) -> None:
    """One that is replaced, or added by scaling, is no deployment: nothing could be rolled back."""
    gate = Gate(limit_s=LIMIT_S, now=0.0)
    present = roster(member("webserver", NEW), member("scheduler", NEW), member("worker", OLD, state=CONSUMING))
    passage = gate.check(present, rule=rule, code=NEW, now=1.0, is_given_up=True)
    assert (passage.has_failed, passage.is_open) == (False, False)
    assert gate.check(present, rule=rule, code=NEW, now=LIMIT_S, is_given_up=True).is_open


def test_a_gate_that_waits_for_no_one_opens_whatever_is_given_up() -> None:
    gate, present = Gate(limit_s=LIMIT_S, now=0.0), roster(*OLD_AIRFLOW, member("worker", NEW, state=CONSUMING))
    assert not gate.check(present, rule=other_workers, code=NEW, now=1.0, is_given_up=True).has_failed
    assert gate.check(present, rule=other_workers, code=NEW, now=1.0 + CONFIRM_S, is_given_up=True).is_open


@pytest.mark.parametrize(
    ("state", "in_the_way"),
    [(STARTING, True), (CONSUMING, True), (DRAINING, False), (DRAINED, False), (STOPPED, False)],
)
def test_a_scheduler_waits_for_workers_of_other_code_that_take_tasks_or_may_begin_to(
    state: str, in_the_way: bool
) -> None:
    assert bool(other_workers(roster(member("worker", OLD, state=state)), NEW)) is in_the_way


@pytest.mark.parametrize("field", ["image_version", "dags_hash", "airflow_version"])
def test_code_is_other_code_if_any_part_differs(field: str) -> None:
    other: dict[str, Any] = {field: "other"}
    assert other_workers(roster(member("worker", replace(NEW, **other), state=CONSUMING)), NEW)


@pytest.mark.parametrize("field", ["image_version", "dags_hash", "airflow_version"])
def test_unknown_code_equals_nothing_not_even_itself(field: str) -> None:
    unknown: dict[str, Any] = {field: ""}
    code = replace(NEW, **unknown)
    assert other_workers(roster(member("worker", code, state=CONSUMING)), code)


def test_a_gate_ignores_workers_of_the_same_code_and_other_roles() -> None:
    seen = roster(member("worker", NEW, state=CONSUMING), *OLD_AIRFLOW, malformed=("x/scheduler", "garbage"))
    assert other_workers(seen, NEW) == ()


def test_a_worker_whose_record_is_malformed_may_be_an_old_one() -> None:
    assert other_workers(roster(malformed=("t/worker",)), NEW) == ("t/worker (its record is malformed)",)


def test_a_gate_names_the_worker_that_it_waits_for() -> None:
    busy = replace(member("worker", OLD, task="w1", state=CONSUMING), active=3)
    assert other_workers(roster(busy), NEW) == ("w1/worker (consuming, 3 tasks, image 1)",)


@pytest.mark.parametrize(
    ("new", "waits"),
    [
        (NEW, True),  # new code only: the workers first
        (UPGRADED, False),  # the new workers wait for this webserver
        (replace(NEW, airflow_version="3.2.0"), True),  # a downgrade: a webserver serves older workers
        (replace(NEW, airflow_version="nonsense"), True),
    ],
)
def test_the_task_airflow_waits_unless_it_brings_a_newer_airflow(new: Code, waits: bool) -> None:
    seen = roster(*OLD_AIRFLOW, member("worker", OLD, state=CONSUMING))
    assert bool(other_workers_unless_newer(seen, new)) is waits


def test_the_task_airflow_does_not_wait_while_there_is_no_webserver() -> None:
    """Running tasks need a webserver, and the scheduler has a gate of its own."""
    assert other_workers_unless_newer(roster(member("worker", OLD, state=CONSUMING)), NEW) == ()


class Clock:
    """A gate with NEW code behind it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.gate = Gate(limit_s=LIMIT_S, now=self.now)

    def check(self, *members: Member, after: float = 0.0) -> bool:
        self.now += after
        return self.gate.check(roster(*members), rule=other_workers, code=NEW, now=self.now).is_open

    def look_in_vain(self, *, after: float = 0.0) -> bool:
        self.now += after
        return self.gate.check(None, rule=other_workers, code=NEW, now=self.now).is_open


@pytest.fixture
def clock() -> Clock:
    return Clock()


OLD_WORKER = member("worker", OLD, state=CONSUMING)


def test_a_gate_without_workers_opens_when_that_is_confirmed(clock: Clock) -> None:
    assert not clock.check()
    assert not clock.check(after=CONFIRM_S / 2)
    assert clock.check(after=CONFIRM_S / 2)


def test_a_worker_that_is_back_shuts_the_gate_again(clock: Clock) -> None:
    clock.check()
    assert not clock.check(OLD_WORKER, after=CONFIRM_S)
    assert not clock.check(after=1)
    assert clock.check(after=CONFIRM_S)


def test_a_registry_that_cannot_be_read_keeps_a_gate_shut(clock: Clock) -> None:
    clock.check()
    assert not clock.look_in_vain(after=CONFIRM_S)
    assert not clock.check(after=1)


def test_a_gate_opens_at_its_limit_and_names_the_remaining_workers(clock: Clock) -> None:
    assert not clock.check(OLD_WORKER, *OLD_AIRFLOW, after=LIMIT_S - 1)
    passage = clock.gate.check(roster(OLD_WORKER, *OLD_AIRFLOW), rule=other_workers, code=NEW, now=clock.now + 1)
    assert passage.is_open
    assert "t/worker" in passage.why


@pytest.mark.parametrize("waiting", [(), (member("scheduler", NEW, task="n", state=STARTING),)], ids=["none", "waits"])
def test_a_gate_opens_sooner_when_no_other_scheduler_runs(clock: Clock, waiting: tuple[Member, ...]) -> None:
    assert not clock.check(OLD_WORKER, *waiting, after=STANDSTILL_S - 1)
    assert clock.check(OLD_WORKER, *waiting, after=1)


def test_an_unreadable_registry_does_not_mean_that_no_scheduler_runs(clock: Clock) -> None:
    clock.check(*OLD_AIRFLOW)
    assert not clock.look_in_vain(after=LIMIT_S - 1)
    assert clock.look_in_vain(after=1)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 900.0),
        ({"GATE_MINUTES": "2"}, 120.0),
        ({"GATE_MINUTES": "0"}, 0),
        ({"GATE_MINUTES": "2", "ROLLOUT_PATIENCE_MINUTES": "30"}, 1920.0),  # never before the workers are given up
    ],
)
def test_the_limit_comes_from_the_environment(given: dict[str, str], seconds: float) -> None:
    assert limit_s(given) == seconds


class Worker:
    """A worker of Airflow 3.4.0 that asks for permission."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.permission = Permission("3.4.0", limit_s=LIMIT_S)

    def may(self, *releases: str, after: float = 0.0) -> bool:
        self.now += after
        webservers = [
            member("webserver", replace(NEW, airflow_version=r), task=f"t{n}") for n, r in enumerate(releases)
        ]
        self.permission.check(webservers, now=self.now)
        return self.permission.is_given


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.mark.parametrize(
    ("releases", "permitted"),
    [
        (("3.4.0",), True),
        (("3.5.1",), True),
        (("3.3.2",), False),
        (("3.3.2", "3.4.0"), False),  # a task may reach either
        (("3.10.0",), True),
        (("3.4.0rc1",), False),
        ((), False),
        (("",), False),
    ],
)
def test_a_worker_takes_tasks_only_from_webservers_as_new_as_itself(
    worker: Worker, releases: tuple[str, ...], permitted: bool
) -> None:
    assert worker.may(*releases) is permitted
    assert bool(worker.permission.why) is not permitted


def test_a_worker_that_is_too_new_waits_without_a_limit_and_says_why(worker: Worker) -> None:
    assert not worker.may("3.3.2", after=10 * LIMIT_S)
    assert worker.permission.why == (
        "takes no tasks: its Airflow 3.4.0 is newer than the webserver's (t0/webserver has 3.3.2)"
    )


def test_a_worker_that_knows_of_no_webserver_waits_for_a_while(worker: Worker) -> None:
    assert not worker.may()
    assert not worker.may(after=LIMIT_S - 1)
    assert worker.may(after=1)
    assert "no webserver has reported" in worker.permission.why


def test_a_permission_lasts_while_no_webserver_is_known(worker: Worker) -> None:
    worker.may("3.4.0")
    assert worker.may(after=1)


def test_a_webserver_that_is_rolled_back_ends_the_permission(worker: Worker) -> None:
    worker.may("3.4.0")
    assert not worker.may("3.4.0", "3.3.2", after=1)
    assert not worker.may(after=LIMIT_S - 1)  # no webserver reports
    assert worker.may("3.4.0", after=1)


def test_a_worker_without_airflow_has_nothing_to_compare() -> None:
    permission = Permission("", limit_s=LIMIT_S)
    permission.check([member("webserver", OLD)], now=0.0)
    assert permission.is_given


@pytest.mark.parametrize(
    ("release", "than", "older"),
    [
        ("3.3.2", "3.4.0", True),
        ("3.10.0", "3.9.9", False),
        ("3.3.2", "3.3.2", False),
        ("", "3.3.2", None),
        ("3", "x", None),
    ],
)
def test_airflow_versions_are_ordered_as_python_orders_versions(release: str, than: str, older: bool | None) -> None:
    assert is_older(release, than=than) is older
