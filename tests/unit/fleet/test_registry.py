"""Unit tests of the fleet registry's records and keys."""

import dataclasses
import json
from typing import Any

import pytest

from fleet import registry
from fleet.forecast import MOST_FORECAST_PAIRS, MOST_FORECAST_SLOTS, parse_forecast
from fleet.member import RUNNING, MalformedMember, Member
from tests.support.members import A_WORKER


def record(**changes: Any) -> str:
    return json.dumps({**json.loads(A_WORKER.to_json()), **changes})


def test_a_record_reads_back_as_the_member_that_wrote_it() -> None:
    assert Member.from_json(A_WORKER.to_json(), member_id=A_WORKER.id) == A_WORKER


def test_a_record_of_an_older_release_declares_the_slots_that_it_has() -> None:
    old = json.loads(A_WORKER.to_json())
    del old["declared_slots"]
    assert Member.from_json(json.dumps(old)).declared_slots == A_WORKER.slots


def test_a_record_does_not_hold_its_last_seen_time() -> None:
    assert "last_seen" not in json.loads(dataclasses.replace(A_WORKER, last_seen=5.0).to_json())


def test_a_member_outside_any_pool_reads_back() -> None:
    scheduler = dataclasses.replace(A_WORKER, role="scheduler", pool=None, state=RUNNING, queues=())
    assert Member.from_json(scheduler.to_json()) == scheduler


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="cut short"),
        pytest.param(b"\xff\xfe\xfa", "not JSON", id="not text"),
        pytest.param("[" * 100_000, "not JSON", id="nested without end"),
        pytest.param("[]", "not an object", id="a list"),
        pytest.param(record(version=2), "unknown record version 2", id="a later version"),
        pytest.param("{}", "unknown record version None", id="no version"),
        pytest.param(record(id=""), "id is ''", id="no id"),
        pytest.param(record(id="other/worker"), "the record's id is 'other/worker'", id="another's record"),
        pytest.param(record(role=None), "role is None", id="no role"),
        pytest.param(record(state="asleep"), "state is 'asleep'", id="unknown state"),
        pytest.param(record(state=["consuming"]), "state is ['consuming']", id="state of a wrong type"),
        pytest.param(record(slots=-1), "slots is -1", id="negative slots"),
        pytest.param(record(slots=1.5), "slots is 1.5", id="half a slot"),
        pytest.param(record(active=True), "active is True", id="a truth for a count"),
        pytest.param(record(left_behind=-1), "left_behind is -1", id="less than nothing left behind"),
        pytest.param(record(declared_slots=-1), "declared_slots is -1", id="less than no slots declared"),
        pytest.param(record(protected="yes"), "protected is 'yes'", id="a word for a truth"),
        pytest.param(record(started_at=float("nan")), "started_at is nan", id="not a number"),
        pytest.param(record(queues="default"), "queues is 'default'", id="a word for a list"),
        pytest.param(record(queues=[1]), "queues is [1]", id="a number for a queue"),
        pytest.param(record(pool=7), "pool is 7", id="a number for a pool"),
        pytest.param(record(image_version=None), "image_version is None", id="no version of the image"),
    ],
)
def test_an_implausible_record_is_refused_with_the_reason(raw: str | bytes, why: str) -> None:
    with pytest.raises(MalformedMember) as refused:
        Member.from_json(raw, member_id=A_WORKER.id)
    assert why in refused.value.why
    assert refused.value.member_id == A_WORKER.id


def test_the_keys_are_those_of_the_contract() -> None:
    assert registry.MEMBERS_KEY == "fleet:members"
    assert registry.member_key("t/worker") == "fleet:member:t/worker"
    assert registry.order_key("t/worker") == "fleet:order:t/worker"
    assert registry.scaler_key("p") == "fleet:scaler:p"
    assert registry.decisions_key("p") == "fleet:decisions:p"
    assert registry.forecast_key("p") == "fleet:forecast:p"
    assert registry.waiting_key("p") == "fleet:waiting:p"


def test_a_forecast_is_returned_ascending_by_time() -> None:
    assert parse_forecast(b"[[1800000300,4],[1800000000,8]]") == ((1_800_000_000, 8), (1_800_000_300, 4))


def test_a_missing_forecast_differs_from_an_empty_one() -> None:
    assert parse_forecast(None) is None
    assert parse_forecast("[]") == ()


@pytest.mark.parametrize(
    "raw",
    [
        *("", "x", "{}", "1", "null", "[" * 100_000),
        *("[1]", "[[]]", "[[1800000000]]", "[[1800000000,1,1]]", '[{"at":1}]'),
        *('[["1800000000",1]]', "[[1800000000,1.5]]", "[[1800000000,true]]", "[[1800000000,null]]", "[[NaN,1]]"),
        *("[[0,1]]", "[[-1,1]]", "[[1800000000,0]]", "[[1800000000,-4]]"),
        # Milliseconds, and more slots than there can be.
        *("[[1800000000000,1]]", f"[[1800000000,{MOST_FORECAST_SLOTS + 1}]]", "[[1e400,1]]"),
        "[[1800000000,1],[1800000000,2]]",
        json.dumps([[1_800_000_000 + second, 1] for second in range(MOST_FORECAST_PAIRS + 1)]),
    ],
    ids=lambda raw: raw[:24],
)
def test_an_invalid_forecast_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"^the forecast "):
        parse_forecast(raw)


def test_the_longest_valid_forecast_is_accepted() -> None:
    pairs = [[1_800_000_000 + second, MOST_FORECAST_SLOTS] for second in range(MOST_FORECAST_PAIRS)]
    assert len(parse_forecast(json.dumps(pairs)) or ()) == MOST_FORECAST_PAIRS
