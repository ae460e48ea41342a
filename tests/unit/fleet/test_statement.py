"""The sums by DAG and by owner: they are what the workers cost."""

import pytest

from fleet.attribution import Share, Use
from fleet.costs import OTHERS, Day, PoolDay
from fleet.statement import NO_OWNER, Row, first_rows, state


def share(worker_s: float, *, tasks: int = 1) -> Share:
    return Share(tasks=tasks, task_s=3 * worker_s, worker_s=worker_s)


BUSY = Use(shares={("a", "ann"): share(30, tasks=2), ("b", "ann"): share(10), ("c", ""): share(0)}, idle_s=60)
# 100 worker-seconds cost a dollar. Of the 60 idle ones a bears three quarters.
DAYS = [
    Day(begin=0, until=86_400, pools={"worker": PoolDay(use=BUSY, usd=1.0)}),
    Day(begin=86_400, until=90_000, pools={"worker": PoolDay(use=Use(idle_s=50), usd=0.5)}),
]


def test_idle_seconds_are_borne_by_the_payers_of_the_same_day_only() -> None:
    found = state(DAYS)
    assert [(row.name, row.own_s, row.idle_s, row.usd) for row in found.dags] == [
        ("a", 30, 45, pytest.approx(0.75)),
        ("b", 10, 15, pytest.approx(0.25)),
        ("c", 0, 0, 0),
    ]
    assert [found.unborne.worker_s, found.unborne.usd] == pytest.approx([50, 0.5])
    assert [found.all.worker_s, found.all.usd, found.all.tasks] == pytest.approx([150, 1.5, 4])


def test_rows_and_what_no_one_bears_are_all() -> None:
    found = state(DAYS)
    for rows in (found.dags, found.owners):
        assert sum(row.worker_s for row in rows) + found.unborne.worker_s == pytest.approx(found.all.worker_s)


def test_owners_are_summed_up_over_their_dags() -> None:
    others = Use(shares={OTHERS: share(5)})
    found = state([*DAYS, Day(begin=0, until=1, pools={"worker": PoolDay(use=others, usd=None)})])
    assert [(row.name, row.worker_s) for row in found.owners] == [("ann", 100), (OTHERS[0], 5), (NO_OWNER, 0)]


def test_a_rows_figures_say_what_ran_beside_and_what_one_task_took() -> None:
    row = state(DAYS).dags[0]
    assert (row.beside, row.a_task_s) == (3, 37.5)
    assert (Row(name="x").beside, Row(name="x").a_task_s) == (None, None)


def test_an_unknown_price_is_never_taken_for_zero() -> None:
    unpriced = Day(begin=0, until=1, pools={"big": PoolDay(use=Use(shares={("a", "ann"): share(1)}), usd=None)})
    found = state([*DAYS, unpriced])
    assert [row.usd is None for row in found.dags] == [True, False, False]
    assert found.all.usd is None
    assert found.unborne.usd is not None


def test_rows_beyond_the_most_are_one() -> None:
    rows = [Row(name=str(number), own_s=1.0, tasks=1, usd=0.5) for number in range(5)]
    first, second, others = first_rows(rows, most=3)
    assert (first.name, second.name, others.name) == ("0", "1", "3 others")
    assert (others.worker_s, others.tasks, others.usd) == (3, 3, 1.5)
    assert first_rows(rows, most=5) == rows
