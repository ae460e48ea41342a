"""The version check's comparison."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.member import CODE_FIELDS, CONSUMING, DRAINED, DRAINING, RUNNING, STARTING, STOPPED, Member, task_of
from fleet.registry import Roster
from version_check.compare import IMAGE_DIGEST, STARTS_WITHIN_S, Container, Observation, Tasks, compare
from version_check.rollout import Rollout
from version_check.verdict import IN_SYNC, OUT_OF_SYNC, UNKNOWN, Difference, Gap, Reference, Verdict

NOW = 1_000_000.0
STARTED = NOW - 600


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
        started_at=STARTED,
        task_arn=f"arn:aws:ecs:eu-central-1:1:task/c/{task}",
        container=role,
        queues=(),
    )
    return replace(plain, **other)


AIRFLOW = tuple(member(role) for role in ("webserver", "scheduler", "dag-processor", "triggerer"))
WORKER = member("worker", "t2")
FLEET = (*AIRFLOW, WORKER, member("flower", "t3"))
ANSWER = Reference(member="t1/webserver", code=AIRFLOW[0].code)


def container(name: str, **other: Any) -> Container:
    role = name.partition("/")[2]
    return replace(
        Container(member=name, role=role, image="airflow:2.0", digest="sha256:2", started_at=STARTED), **other
    )


RUNNING_ONES = tuple(container(each.id) for each in FLEET)


def verdict(
    *members: Member,
    containers: tuple[Container, ...] = RUNNING_ONES,
    malformed: tuple[str, ...] = (),
    answer: Reference | Gap = ANSWER,
    **other: Any,
) -> Verdict:
    stopping = other.pop("stopping", frozenset())
    tasks = Tasks(
        containers=containers,
        known=frozenset(task_of(each.member) for each in containers) | stopping,
        stopping=stopping,
        gaps=other.pop("gaps", ()),
        rollouts=other.pop("rollouts", ()),
    )
    roster = other.pop("roster", Roster(members=members, malformed=malformed, read_at=NOW))
    return compare(Observation(now=NOW, tasks=tasks, roster=roster, answer=answer, **other))


def changed(role: str, **values: Any) -> list[Member]:
    return [replace(each, **values) if each.role == role else each for each in FLEET]


def test_a_fleet_that_reports_equal_code_is_in_sync() -> None:
    result = verdict(*FLEET)
    assert (result.status, result.compared, result.unknown, result.notes) == (IN_SYNC, 6, (), ())
    assert result.reference == ANSWER


@pytest.mark.parametrize("field", CODE_FIELDS)
@pytest.mark.parametrize("role", ["scheduler", "dag-processor", "triggerer", "worker", "flower"])
def test_any_role_that_differs_in_any_field_is_out_of_sync(role: str, field: str) -> None:
    old: dict[str, Any] = {field: "0", "active": 3}
    members = changed(role, **old)
    odd = next(each for each in members if each.role == role)
    result = verdict(*members)
    assert result.status == OUT_OF_SYNC
    assert result.out_of_sync == (
        Difference(
            member=odd.id,
            role=role,
            pool=odd.pool,
            field=field,
            value="0",
            expected=getattr(ANSWER.code, field),
            active=3,
            state=odd.state,
            is_draining=False,
        ),
    )


@pytest.mark.parametrize(
    ("state", "draining"), [(STARTING, False), (CONSUMING, False), (DRAINING, True), (DRAINED, True)]
)
def test_a_difference_tells_whether_the_worker_is_on_its_way_out(state: str, draining: bool) -> None:
    (odd,) = verdict(*changed("worker", dags_hash="old", state=state)).out_of_sync
    assert odd.is_draining is draining


def test_the_webservers_answer_is_the_reference_not_its_containers_report() -> None:
    answer = replace(ANSWER, code=replace(ANSWER.code, dags_hash="newer"))
    assert {each.member for each in verdict(*FLEET, answer=answer).out_of_sync} == {each.id for each in FLEET}


@pytest.mark.parametrize(
    "why",
    [
        "answers text/html, not application/json",
        "answers HTTP 302",
        "answers HTTP 500",
        "does not answer: ConnectionRefusedError",
    ],
)
def test_a_webserver_that_does_not_answer_is_unknown_though_it_reports(why: str) -> None:
    result = verdict(*FLEET, answer=Gap(who="webserver", why=why))
    assert (result.status, result.unknown) == (UNKNOWN, (Gap(who="webserver", why=why),))


def test_the_newest_webservers_record_still_shows_a_difference_without_an_answer() -> None:
    older = member("webserver", "t9", started_at=STARTED - 100, image_version="1.0")
    result = verdict(older, *FLEET, answer=Gap(who="webserver", why="-"), stopping=frozenset({"t9"}))
    assert result.status == OUT_OF_SYNC
    assert [(each.member, each.is_draining) for each in result.out_of_sync] == [("t9/webserver", True)]


def test_an_answer_from_no_task_of_ecs_is_unknown() -> None:
    result = verdict(*FLEET, answer=replace(ANSWER, member="t9/webserver"))
    assert result.unknown == (Gap(who="t9/webserver", why="answers as the webserver, but ECS has no such task"),)


def test_a_fleet_without_a_webserver_is_unknown() -> None:
    result = verdict(WORKER, containers=(container("t2/worker"),), answer=Gap(who="webserver", why="-"))
    assert (result.status, result.reference) == (UNKNOWN, None)


def test_an_empty_fleet_is_unknown_not_in_sync() -> None:
    assert verdict(containers=(), answer=Gap(who="webserver", why="-")).status == UNKNOWN


def test_a_container_that_does_not_report_is_unknown_and_for_how_long() -> None:
    result = verdict(*AIRFLOW, silent={"t2/worker": NOW - 90})
    assert result.status == UNKNOWN
    gaps = {gap["who"]: gap["seconds"] for gap in result.to_record()["unknown"]}
    assert gaps == {"t2/worker": 90, "t3/flower": 600}  # flower is not remembered: since its task started


@pytest.mark.parametrize(
    ("name", "started", "silent_since", "is_starting"),
    [
        ("t2/worker", NOW - 11, NOW - 11, True),
        ("t2/worker", NOW - STARTS_WITHIN_S, NOW - STARTS_WITHIN_S, True),
        ("t2/worker", NOW - STARTS_WITHIN_S - 1, NOW - STARTS_WITHIN_S - 1, False),
        ("t2/worker", NOW - 600, NOW - 30, False),  # it has reported before
        ("t3/flower", NOW - 11, NOW - 11, False),
    ],
)
def test_only_a_worker_that_was_just_launched_starts(
    name: str, started: float, silent_since: float, is_starting: bool
) -> None:
    others = tuple(each for each in FLEET if each.id != name)
    containers = tuple(each for each in RUNNING_ONES if each.member != name)
    late = container(name, started_at=started)
    result = verdict(*others, containers=(*containers, late), silent={name: silent_since})
    assert (result.status, result.is_starting_only) == (UNKNOWN, is_starting)


def test_starting_workers_hide_neither_another_gap_nor_a_difference() -> None:
    new = container("t4/worker", started_at=NOW - 5)
    gap = Gap(who="ECS", why="no answer")
    assert verdict(*FLEET, containers=(*RUNNING_ONES, new)).is_starting_only
    assert not verdict(*FLEET, containers=(*RUNNING_ONES, new), gaps=(gap,)).is_starting_only
    assert not verdict(*changed("worker", dags_hash="other"), containers=(*RUNNING_ONES, new)).is_starting_only
    assert not verdict(*FLEET).is_starting_only


def test_a_malformed_record_of_a_running_container_is_unknown() -> None:
    others = tuple(each for each in FLEET if each.id != "t2/worker")
    result = verdict(*others, malformed=("t2/worker",))
    assert (result.unknown, result.malformed) == ((Gap(who="t2/worker", why="its record is malformed"),), 0)


def test_foreign_members_in_the_registry_change_nothing_but_a_count() -> None:
    strangers = [member("worker", f"x{number}", image_version="0.1") for number in range(500)]
    garbage = tuple(f"garbage {number}" for number in range(500))
    result = verdict(*FLEET, *strangers, malformed=garbage)
    assert replace(result, strays=(), malformed=0) == verdict(*FLEET)
    assert (len(result.strays), result.malformed) == (500, 500)


def test_members_are_not_compared_when_ecs_does_not_say_that_they_are_there() -> None:
    gap = Gap(who="worker", why="ThrottlingException")
    known = tuple(each for each in RUNNING_ONES if each.role != "worker")
    result = verdict(*changed("worker", dags_hash="old"), containers=known, gaps=(gap,))
    assert (result.status, result.unknown) == (UNKNOWN, (gap,))


ROLLOUT = Rollout(
    key="worker",
    since=NOW - 60,
    wanted=1,
    running=1,
    left=1,
    new=frozenset({"t2"}),
    old=frozenset({"t8"}),
)
OLD = replace(WORKER, id="t8/worker", state=DRAINING)


def rolls(*members: Member, rollout: Rollout = ROLLOUT, **other: Any) -> Verdict:
    containers = tuple(container(each.id) for each in members)
    return verdict(*members, containers=containers, rollouts=(rollout,), **other)


@pytest.mark.parametrize("state", [DRAINING, DRAINED])
@pytest.mark.parametrize("code", [{}, {"dags_hash": "old"}], ids=["same", "other"])
def test_a_rollout_is_unknown_and_says_when_only_draining_workers_are_left(state: str, code: dict[str, Any]) -> None:
    result = rolls(*FLEET, replace(OLD, state=state, **code))
    words = "a deployment is rolling out: 1 of 1 new ECS tasks run, old ECS tasks left: 1, which only drain"
    assert result.unknown == (Gap(who="worker", why=words, since=NOW - 60, is_draining_only=True),)
    assert (result.status, result.is_draining_only) == (OUT_OF_SYNC if code else UNKNOWN, True)
    assert result.to_record()["is_draining_only"]


def test_a_pool_that_wants_no_new_worker_only_drains() -> None:
    assert rolls(*AIRFLOW, OLD, rollout=replace(ROLLOUT, wanted=0, running=0, new=frozenset())).is_draining_only


@pytest.mark.parametrize(
    "result",
    [
        rolls(*FLEET, replace(OLD, state=CONSUMING)),
        rolls(*FLEET, replace(OLD, state=STARTING)),
        rolls(*FLEET, rollout=replace(ROLLOUT, old=frozenset(), left=0)),  # not steady yet
        rolls(*FLEET, rollout=replace(ROLLOUT, left=0)),  # an old ECS task has not reported, and may start
        rolls(*FLEET, OLD, rollout=replace(ROLLOUT, left=2)),  # ECS lists one only
        rolls(*FLEET, OLD, rollout=replace(ROLLOUT, old=frozenset({"t8", "t9"}))),
        rolls(*AIRFLOW, OLD),  # no new worker
        rolls(*changed("worker", state=STARTING), OLD),
        rolls(*changed("worker", trouble="no answer"), OLD),
        rolls(*FLEET, OLD, replace(WORKER, id="t9/worker", dags_hash="odd")),
        rolls(*AIRFLOW, WORKER, OLD, gaps=(Gap(who="flower", why="ThrottlingException"),)),
        rolls(*FLEET, rollout=replace(ROLLOUT, key="airflow", old=frozenset({"t1"}))),
        verdict(*FLEET),
    ],
)
def test_else_a_rollout_is_more_than_draining_workers(result: Verdict) -> None:
    assert not result.is_draining_only


def test_a_failing_redis_is_one_gap_not_one_a_container() -> None:
    gap = Gap(who="fleet registry", why="ConnectionError")
    result = verdict(roster=gap)
    assert (result.status, result.unknown) == (UNKNOWN, (gap,))


@pytest.mark.parametrize("field", CODE_FIELDS)
def test_an_empty_version_is_equal_to_nothing_not_even_to_another_empty_one(field: str) -> None:
    empty: dict[str, Any] = {field: ""}
    one = verdict(*changed("worker", **empty))
    assert (one.status, [gap.why for gap in one.unknown]) == (UNKNOWN, [f"reports no {field}"])
    answer = replace(ANSWER, code=replace(ANSWER.code, **empty))
    all_empty = verdict(*(replace(each, **empty) for each in FLEET), answer=answer)
    assert (all_empty.status, len(all_empty.unknown)) == (UNKNOWN, 1 + len(FLEET))


def test_a_difference_is_certain_whatever_else_is_unknown() -> None:
    result = verdict(AIRFLOW[0], replace(WORKER, dags_hash="old"))
    assert (result.status, len(result.unknown)) == (OUT_OF_SYNC, 4)


def test_a_worker_that_has_stopped_is_not_compared() -> None:
    stopped = replace(WORKER, id="t8/worker", image_version="1.0", state=STOPPED)
    assert verdict(*FLEET, stopped, stopping=frozenset({"t8"})).status == IN_SYNC


def test_a_task_on_its_way_out_is_compared_while_it_reports() -> None:
    old = replace(WORKER, id="t8/worker", image_version="1.0", active=2)
    (odd,) = verdict(*FLEET, old, stopping=frozenset({"t8"})).out_of_sync
    assert (odd.member, odd.active, odd.is_draining) == ("t8/worker", 2, True)


def test_an_image_that_ecs_started_is_another_one_though_it_says_the_same_of_itself() -> None:
    containers = tuple(replace(each, digest="sha256:1") if each.role == "worker" else each for each in RUNNING_ONES)
    result = verdict(*FLEET, containers=containers)
    (odd,) = result.out_of_sync
    assert (odd.member, odd.field, odd.value, odd.expected) == ("t2/worker", IMAGE_DIGEST, "sha256:1", "sha256:2")
    assert result.notes == ("the image airflow:2.0 runs with more than one digest: its tag was moved",)


def test_the_same_image_by_two_names_is_one_image() -> None:
    pinned = {"t2/worker": "airflow@sha256:2"}
    containers = tuple(replace(each, image=pinned.get(each.member, each.image)) for each in RUNNING_ONES)
    assert verdict(*FLEET, containers=containers).status == IN_SYNC


def test_an_image_that_ecs_does_not_tell_is_unknown() -> None:
    containers = tuple(replace(each, digest="") if each.role == "worker" else each for each in RUNNING_ONES)
    assert verdict(*FLEET, containers=containers).unknown == (
        Gap(who="t2/worker", why="ECS does not give its image digest"),
    )


def test_a_worker_newer_than_the_webserver_is_a_wrong_order() -> None:
    result = verdict(*changed("worker", airflow_version="3.4.0"))
    assert result.notes == (
        "wrong order: t2/worker runs Airflow 3.4.0, newer than the webserver's 3.3.2: upgrade the webserver first",
    )


@pytest.mark.parametrize(
    ("state", "active", "wrong"), [(STARTING, 0, False), (DRAINING, 0, False), (DRAINING, 1, True)]
)
def test_a_newer_worker_that_waits_is_in_good_order(state: str, active: int, wrong: bool) -> None:
    result = verdict(*changed("worker", airflow_version="3.4.0", state=state, active=active))
    assert bool(result.notes) is wrong


@pytest.mark.parametrize(
    ("state", "started_at", "wrong"),
    [(CONSUMING, STARTED - 1, True), (CONSUMING, STARTED + 1, False), (DRAINING, STARTED - 1, False)],
)
def test_a_worker_that_takes_tasks_of_a_later_scheduler_is_a_wrong_order(
    state: str, started_at: float, wrong: bool
) -> None:
    result = verdict(*changed("worker", image_version="1.0", state=state, started_at=started_at))
    assert bool(result.notes) is wrong
    assert all("t2/worker takes tasks of t1/scheduler" in note for note in result.notes)


def test_a_record_is_cut_and_counts_all() -> None:
    record = verdict(*changed("worker", image_version="1.0", dags_hash="old")).to_record(at_most=1)
    assert (record["differences"], len(record["out_of_sync"])) == (2, 1)
