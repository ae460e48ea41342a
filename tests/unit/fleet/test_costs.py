"""The record of a day's costs: what it adds up, how it is bounded, and what is not believed."""

import json
from typing import Any

import pytest

from fleet.attribution import Share, Use
from fleet.costs import MOST_PAYERS, OTHERS, Day, PoolDay, day_of, name_of, parse_day, payer_of

BEGIN = 1_764_547_200  # 2025-12-01
A, B = ("a", "ann"), ("b", "")


def use(*, idle_s: float = 10.0, **worker_s: float) -> Use:
    shares = {(dag, ""): Share(tasks=1, task_s=2 * s, worker_s=s) for dag, s in worker_s.items()}
    return Use(shares=shares, idle_s=idle_s, unknown_s=5.0)


def a_day() -> Day:
    empty = Day(begin=BEGIN, until=BEGIN)
    first = empty.added({"worker": use(a=30.0, b=10.0)}, {"worker": 0.5}, until=BEGIN + 60)
    return first.added({"worker": use(a=5.0), "big": use(c=7.0)}, {"worker": 0.25}, until=BEGIN + 120)


def test_a_day_begins_at_midnight_of_utc_and_is_named_by_its_date() -> None:
    assert day_of(BEGIN + 0.5) == day_of(BEGIN + 86_399.9) == BEGIN
    assert name_of(BEGIN) == "2025-12-01"


def test_spans_are_added_up_and_the_record_is_read_as_it_was_written() -> None:
    day = a_day()
    assert day.until == BEGIN + 120
    worker = day.pools["worker"]
    assert (worker.use.shares["a", ""], worker.use.idle_s, worker.use.unknown_s, worker.usd) == (
        Share(tasks=2, task_s=70, worker_s=35),
        *(20, 10, 0.75),
    )
    assert parse_day(day.to_json(), begin=BEGIN) == day


def test_dollars_are_unknown_as_soon_as_those_of_a_span_are() -> None:
    day = a_day()
    assert day.pools["big"].usd is None
    assert day.added({"worker": use()}, {}, until=BEGIN + 180).pools["worker"].usd is None
    assert day.added({"big": use()}, {"big": 1.0}, until=BEGIN + 180).pools["big"].usd is None


def test_payers_beyond_the_dearest_are_summed_up_and_nothing_is_lost() -> None:
    many = Use(shares={(f"dag{n}", "o"): Share(tasks=1, task_s=1, worker_s=float(n)) for n in range(MOST_PAYERS + 50)})
    day = Day(begin=BEGIN, until=BEGIN).added({"worker": many}, {}, until=BEGIN + 60)
    shares = day.pools["worker"].use.shares
    assert len(shares) == MOST_PAYERS + 1
    assert shares[OTHERS] == Share(tasks=50, task_s=50, worker_s=sum(range(50)))
    assert day.pools["worker"].use.busy_s == many.busy_s
    again = day.added({"worker": many}, {}, until=BEGIN + 120)
    assert again.pools["worker"].use.busy_s == 2 * many.busy_s
    assert len(again.pools["worker"].use.shares) <= MOST_PAYERS + 1


def test_names_of_any_length_are_held() -> None:
    assert [len(name) for name in payer_of("d" * 1000, "o" * 1000)] == [250, 250]


def test_no_record_is_no_day() -> None:
    assert parse_day(None, begin=BEGIN) is None


def changed(**change: Any) -> str:
    return json.dumps({**json.loads(a_day().to_json()), **change})


def changed_pool(**change: Any) -> str:
    record = json.loads(a_day().to_json())
    record["pools"]["worker"] |= change
    return json.dumps(record)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        "[]",
        changed(version=2),
        changed(until=None),
        changed(until=BEGIN - 1),
        changed(until=BEGIN + 86_401),
        changed(pools=[]),
        changed(pools={"worker": 1}),
        changed_pool(idle_s=-1),
        changed_pool(idle_s=1e300),
        changed_pool(unknown_s="x"),
        changed_pool(usd="1"),
        changed_pool(shares={}),
        changed_pool(shares=[["a", "o", 1, 1.0]]),
        changed_pool(shares=[["", "o", 1, 1.0, 1.0]]),
        changed_pool(shares=[["a", None, 1, 1.0, 1.0]]),
        changed_pool(shares=[["a", "o", -1, 1.0, 1.0]]),
        changed_pool(shares=[["a", "o", 1, 1.0, True]]),
    ],
)
def test_a_malformed_record_is_refused(raw: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"2025-12-01|pool 'worker'"):
        parse_day(raw, begin=BEGIN)


def test_a_pool_without_tasks_has_its_idle_workers() -> None:
    day = Day(begin=BEGIN, until=BEGIN).added({"worker": Use(idle_s=60.0)}, {"worker": 0.1}, until=BEGIN + 60)
    assert day.pools == {"worker": PoolDay(use=Use(idle_s=60.0), usd=0.1)}
