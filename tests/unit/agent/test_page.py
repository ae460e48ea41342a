"""Unit tests of how the Fleet page reads members, decisions and the version check's status."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.page.code import code_by_role
from agent.page.entries import Check, read_check, read_decisions
from bench.micro.page.sample_fleet import CODE, OLDER, a_member
from fleet.member import STOPPED, WEBSERVER, Member

NOW = 1_700_000_000.0
A_WEBSERVER = a_member(1, role=WEBSERVER, now=NOW)
A_WORKER = a_member(2, now=NOW, active=3)
A_DECISION = {"t": NOW, "reason": "it suits", "queued": 1, "desired": 2, "drain": ["a", "b"], "problems": ["slow"]}


def status(*members: Member, malformed: tuple[str, ...] = ()) -> str:
    return str(code_by_role(members, malformed=malformed)["status"])


def with_field(member: Member, field: str, value: str) -> Member:
    change: dict[str, Any] = {field: value}
    return replace(member, **change)


def test_a_fleet_that_runs_one_code_is_in_sync() -> None:
    assert status(A_WEBSERVER, A_WORKER) == "in_sync"


@pytest.mark.parametrize("field", sorted(CODE))
def test_one_member_with_another_code_is_out_of_sync_in_that_field_with_its_tasks(field: str) -> None:
    other = replace(with_field(A_WORKER, field, "another"), id="other/worker")
    said = code_by_role([A_WEBSERVER, A_WORKER, other], malformed=())
    assert (said["status"], said["compared"], said["differing"], said["differing_active"]) == ("out_of_sync", 3, 1, 3)
    assert sorted(group["differs"] for group in said["groups"]) == [[], [], [field]]


@pytest.mark.parametrize("field", sorted(CODE))
def test_a_member_that_does_not_know_its_code_is_never_taken_for_equal(field: str) -> None:
    assert status(A_WEBSERVER, with_field(A_WORKER, field, "")) == "unknown"


def test_a_fleet_without_a_webserver_is_unknown() -> None:
    said = code_by_role([A_WORKER], malformed=())
    assert (said["status"], said["reference"]) == ("unknown", None)


def test_a_fleet_without_members_is_asleep_or_starts() -> None:
    said = code_by_role([], malformed=())
    assert said["status"] == "unknown"
    assert said["unknown"] == ["no container has reported: the stack is asleep, or starts"]


def test_a_malformed_record_makes_the_result_unknown() -> None:
    assert status(A_WEBSERVER, A_WORKER, malformed=("x/worker",)) == "unknown"


def test_a_difference_counts_even_if_something_else_is_unknown() -> None:
    assert status(A_WEBSERVER, replace(A_WORKER, **OLDER), malformed=("x/worker",)) == "out_of_sync"


def test_the_webserver_that_started_last_is_the_reference() -> None:
    older = replace(A_WEBSERVER, id="older/webserver", started_at=A_WEBSERVER.started_at - 1, **OLDER)
    assert code_by_role([older, A_WEBSERVER], malformed=())["reference"] == CODE


@pytest.mark.parametrize(("check", "expected"), [(None, "in_sync"), ("in_sync", "in_sync"), ("unknown", "unknown")])
def test_the_version_checks_finding_counts(check: str | None, expected: str) -> None:
    found = None if check is None else Check(status=check)
    assert code_by_role([A_WEBSERVER, A_WORKER], malformed=(), check=found)["status"] == expected


def test_workers_that_start_are_unknown_until_they_report_and_named_as_starting() -> None:
    check = Check(status="unknown", starting=(NOW - 11, NOW - 4))
    said = code_by_role([A_WEBSERVER, A_WORKER], malformed=(), check=check)
    assert (said["status"], said["unknown"], said["starting"]) == ("unknown", [], (NOW - 11, NOW - 4))


@pytest.mark.parametrize(
    ("check", "malformed"),
    [
        (Check(status="unknown", starting=(NOW,)), ("x/worker",)),  # something else is unknown
        (Check(status="out_of_sync", starting=(NOW,)), ()),
    ],
)
def test_workers_that_start_hide_nothing_else(check: Check, malformed: tuple[str, ...]) -> None:
    said = code_by_role([A_WEBSERVER, A_WORKER], malformed=malformed, check=check)
    assert (said["status"], said["starting"], len(said["unknown"]) > 0) == ("unknown", (), True)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (None, None),
        (json.dumps({"status": "unknown", "looked_at": NOW - 100}), "unknown"),
        (json.dumps({"status": "in_sync", "looked_at": NOW - 100}), "in_sync"),
        (json.dumps({"status": "out_of_sync", "looked_at": NOW - 1000}), None),
        (json.dumps({"status": "in_sync"}), "unknown"),
        ("{", "unknown"),
        ("[]", "unknown"),
    ],
)
def test_the_version_checks_status_counts_while_it_is_recent_and_valid(raw: str | None, status: str | None) -> None:
    found = read_check(raw, now=NOW)
    assert (None if found is None else found.status) == status


@pytest.mark.parametrize(
    ("changes", "starting"),
    [
        ({}, (NOW - 11, NOW - 4)),
        ({"is_starting_only": False}, ()),
        ({"is_starting_only": 1}, ()),
        ({"silent": None}, ()),
        ({"silent": [NOW]}, ()),
        ({"silent": {"a/worker": "<b>"}}, ()),
    ],
)
def test_the_version_check_names_the_workers_that_start(changes: dict[str, Any], starting: tuple[float, ...]) -> None:
    silent = {"a/worker": NOW - 11, "b/worker": NOW - 4}
    record = {"status": "unknown", "looked_at": NOW - 1, "is_starting_only": True, "silent": silent, **changes}
    assert read_check(json.dumps(record), now=NOW) == Check(status="unknown", starting=starting)


def test_a_stopped_member_is_not_compared() -> None:
    assert status(A_WEBSERVER, replace(A_WORKER, state=STOPPED, **OLDER)) == "in_sync"


def test_a_decision_is_shown_with_its_figures_its_reason_and_its_troubles() -> None:
    (decision,) = read_decisions([json.dumps(A_DECISION)]).entries
    assert (decision["reason"], decision["queued"], decision["desired"]) == ("it suits", 1, 2)
    assert (decision["active"], decision["drain"], decision["recall"]) == (None, 2, 0)
    assert decision["troubles"] == ["slow"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        "{",
        "[]",
        json.dumps({**A_DECISION, "t": "<b>"}),
        json.dumps({**A_DECISION, "t": 10**400}),
        json.dumps({**A_DECISION, "reason": None}),
        json.dumps({**A_DECISION, "queued": "<b>"}),
        json.dumps({**A_DECISION, "queued": float("nan")}),
        json.dumps({**A_DECISION, "drain": 7}),
        json.dumps({**A_DECISION, "problems": [{}]}),
    ],
)
def test_a_malformed_decision_is_counted_and_left_out(raw: str | bytes) -> None:
    read = read_decisions([raw, json.dumps(A_DECISION)])
    assert (len(read.entries), read.malformed) == (1, 1)
