"""The version check's comparison."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.registry import CONSUMING, RUNNING, STOPPED, Member
from version_check.compare import FIELDS, IN_SYNC, OUT_OF_SYNC, UNKNOWN, Difference, Gap, Verdict, compare


def member(role: str, task: str = "t1", **other: Any) -> Member:
    plain = Member(
        id=f"{task}/{role}",
        role=role,
        pool="worker" if role == "worker" else None,
        image_version="2.0",
        dags_hash="abc",
        airflow_version="3.3.2",
        state=CONSUMING if role == "worker" else RUNNING,
        slots=16,
        active=0,
        protected=False,
        started_at=1000.0,
        task_arn=f"arn:aws:ecs:eu-central-1:1:task/c/{task}",
        container=role,
        queues=(),
    )
    return replace(plain, **other)


AIRFLOW = tuple(member(role) for role in ("webserver", "scheduler", "dag-processor", "triggerer"))
WORKER = member("worker", "t2")
EVERYBODY = (*AIRFLOW, WORKER, member("flower", "t3"))
IDS = tuple(each.id for each in EVERYBODY)


def verdict(*members: Member, malformed: tuple[str, ...] = (), expected: tuple[str, ...] = ()) -> Verdict:
    return compare(members, malformed=malformed, expected=expected)


def test_all_equal_and_everybody_heard_is_in_sync() -> None:
    result = verdict(*EVERYBODY, expected=IDS)
    assert result.to_record() == {
        "status": IN_SYNC,
        "reference": "t1/webserver",
        "compared": 6,
        "out_of_sync": (),
        "unknown": (),
    }


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("role", ["scheduler", "dag-processor", "triggerer", "worker", "flower"])
def test_any_role_that_differs_in_any_field_is_out_of_sync(role: str, field: str) -> None:
    old: dict[str, Any] = {field: "old", "active": 3}
    members = [replace(each, **old) if each.role == role else each for each in EVERYBODY]
    result = verdict(*members, expected=IDS)
    odd = next(each for each in members if each.role == role)
    assert result.status == OUT_OF_SYNC
    assert result.out_of_sync == (
        Difference(
            member=odd.id,
            role=role,
            field=field,
            value="old",
            expected=getattr(AIRFLOW[0], field),
            active=3,
        ),
    )


def test_the_reference_is_the_webserver_that_started_last() -> None:
    older = member("webserver", "t9", image_version="1.0", started_at=500.0)
    result = verdict(older, *EVERYBODY)
    assert (result.reference, [each.member for each in result.out_of_sync]) == ("t1/webserver", ["t9/webserver"])


def test_without_a_webserver_nothing_is_known() -> None:
    result = verdict(WORKER)
    assert (result.status, result.reference, result.compared) == (UNKNOWN, None, 0)


def test_nobody_at_all_is_unknown_not_in_sync() -> None:
    assert verdict().status == UNKNOWN


def test_a_running_task_that_has_not_reported_is_unknown() -> None:
    result = verdict(*AIRFLOW, expected=IDS)
    assert result.status == UNKNOWN
    assert [gap.who for gap in result.unknown] == ["t2/worker", "t3/flower"]


def test_a_container_that_has_not_reported_is_unknown_though_its_task_has() -> None:
    result = verdict(*EVERYBODY[1:], member("webserver", "t9"), expected=IDS)
    assert result.unknown == (Gap(who="t1/webserver", why="runs, and has not reported"),)


def test_a_malformed_member_is_unknown_once() -> None:
    others = tuple(each for each in EVERYBODY if each.id != "t2/worker")
    result = verdict(*others, malformed=("t2/worker",), expected=IDS)
    assert result.status == UNKNOWN
    assert result.unknown == (Gap(who="t2/worker", why="its record is malformed"),)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("who", ["webserver", "worker"])
def test_an_empty_version_is_equal_to_nothing_not_even_to_another_empty_one(who: str, field: str) -> None:
    empty: dict[str, Any] = {field: ""}
    members = [replace(each, **empty) if each.role == who else each for each in EVERYBODY]
    result = verdict(*members)
    assert result.status == UNKNOWN
    assert [gap.why for gap in result.unknown] == [f"does not know its {field}"]
    nobody = verdict(*(replace(each, **empty) for each in EVERYBODY))
    assert (nobody.status, len(nobody.unknown)) == (UNKNOWN, len(EVERYBODY))


def test_a_difference_is_certain_whatever_else_is_unknown() -> None:
    result = verdict(AIRFLOW[0], replace(WORKER, dags_hash="old"), expected=IDS)
    assert (result.status, len(result.unknown)) == (OUT_OF_SYNC, 4)


def test_a_worker_that_has_stopped_is_not_compared() -> None:
    stopped = replace(WORKER, id="t8/worker", image_version="1.0", state=STOPPED)
    assert verdict(*EVERYBODY, stopped, expected=IDS).status == IN_SYNC


def test_what_ecs_could_not_say_is_unknown() -> None:
    gap = Gap(who="worker", why="ThrottlingException")
    assert compare(EVERYBODY, malformed=(), expected=IDS, gaps=[gap]).unknown == (gap,)
