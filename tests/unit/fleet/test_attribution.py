"""Who bears a worker's seconds: the rule, and that its parts add up."""

import math
import random
import time

import pytest

from fleet.attribution import Count, Ran, Share, Use, attribute, bills, counts_of_lives

A, B = ("a", "ann"), ("b", "bob")
ALWAYS = float("inf")


def ran(payer: tuple[str, str], start: float, end: float, *, host: str = "h1", pool: str = "worker") -> Ran:
    return Ran(payer=payer, pool=pool, host=host, start=start, end=end)


def workers(*counts: tuple[float, int], until: float = ALWAYS) -> dict[str, list[Count]]:
    return {"worker": [Count(at=at, until=until, workers=number) for at, number in counts]}


def use(*tasks: Ran, of: dict[str, list[Count]], begin: float = 0.0, end: float = 100.0) -> Use:
    return attribute(tasks, of, begin=begin, end=end)["worker"]


def borne(found: Use) -> dict[str, float]:
    return {payer[0]: round(share.worker_s, 9) for payer, share in found.shares.items()}


def test_a_second_is_divided_among_the_tasks_that_run_on_the_worker() -> None:
    # 0-10 a alone, 10-20 a and two of b: a third each, 20-30 one of b alone.
    found = use(ran(A, 0, 20), ran(B, 10, 20), ran(B, 10, 30), of=workers((0, 1)))
    assert borne(found) == {"a": round(10 + 10 / 3, 9), "b": round(20 / 3 + 10, 9)}
    assert [found.busy_s, found.idle_s] == pytest.approx([30, 70])


def test_tasks_on_other_hosts_share_nothing() -> None:
    found = use(ran(A, 0, 10), ran(B, 0, 10, host="h2"), of=workers((0, 2)))
    assert borne(found) == {"a": 10, "b": 10}


def test_idle_seconds_are_divided_by_the_worker_seconds_that_payers_bear() -> None:
    found = use(ran(A, 0, 30), ran(B, 30, 40), of=workers((0, 1)))
    of_payer, unborne_s = bills(found)
    assert {payer[0]: bill.worker_s for payer, bill in of_payer.items()} == pytest.approx({"a": 75, "b": 25})
    assert unborne_s == 0


def test_no_one_bears_the_workers_of_a_pool_without_tasks() -> None:
    of_payer, unborne_s = bills(use(of=workers((0, 2))))
    assert (of_payer, unborne_s) == ({}, 200)


def test_a_task_that_took_no_time_bears_nothing_even_alone() -> None:
    of_payer, unborne_s = bills(use(ran(A, 5, 5), of=workers((0, 1))))
    assert of_payer[A].share == Share(tasks=1)
    assert (of_payer[A].worker_s, unborne_s) == (0, 100)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        # The row says that it runs, but its worker is gone: the pool costs what its workers cost.
        ([ran(A, 0, math.inf)], 60.0),
        # Hosts that do not exist: three of them share the one worker that does.
        ([ran(A, 0, 60, host="x"), ran(A, 0, 60, host="y"), ran(B, 0, 60, host="z")], 60.0),
        # A clock that is behind: it ends before it starts.
        ([ran(A, 50, 20)], 60.0),
        # A clock that is ahead: it starts when all is over.
        ([ran(A, 200, 300)], 60.0),
    ],
    ids=["outlives-its-worker", "hosts-that-do-not-exist", "ends-before-it-starts", "starts-afterwards"],
)
def test_the_pool_never_costs_more_than_its_workers(tasks: list[Ran], expected: float) -> None:
    found = use(*tasks, of=workers((0, 1), (60, 0)))
    assert found.worker_s == pytest.approx(expected)


def test_where_the_workers_are_not_known_hosts_with_tasks_count() -> None:
    found = use(ran(A, 10, 30), ran(A, 20, 30, host="h2"), of=workers((50, 1), until=70))
    assert (found.busy_s, found.idle_s, found.unknown_s) == (30, 20, 80)


def test_a_task_counts_in_the_span_in_which_it_ends_and_its_seconds_in_each() -> None:
    tasks = [ran(A, 10, 50), ran(A, 45, 45), ran(B, 20, math.inf)]
    first, second = (use(*tasks, of=workers((0, 1)), begin=begin, end=begin + 50) for begin in (0, 50))
    assert (first.shares[A].tasks, second.shares.get(A, Share()).tasks) == (2, 0)
    assert first.shares[B].tasks == second.shares[B].tasks == 0
    whole = use(*tasks, of=workers((0, 1)))
    added = first + second
    assert added.shares[B].worker_s == pytest.approx(whole.shares[B].worker_s)
    assert [added.worker_s, added.idle_s] == pytest.approx([whole.worker_s, whole.idle_s])


def test_each_pool_is_by_itself() -> None:
    tasks = [ran(A, 0, 10), ran(B, 0, 10, pool="big")]
    found = attribute(tasks, {"worker": [Count(at=0, until=ALWAYS, workers=1)], "idle": []}, begin=0, end=10)
    assert {pool: each.worker_s for pool, each in found.items()} == {"big": 10, "worker": 10}


def test_lives_are_counted_and_one_that_ends_before_it_begins_is_none() -> None:
    counts = counts_of_lives([(0, 10), (5, 20), (30, 30), (50, 40)])
    assert [(count.at, count.workers) for count in counts[1:]] == [(0, 1), (5, 2), (10, 1), (20, 0)]
    assert counts[0].workers == 0


def a_day(tasks: int, *, seed: int = 7) -> tuple[list[Ran], list[tuple[float, float]], float]:
    """Return random tasks and lives of a day, and the sum of the lives within it."""
    dice = random.Random(seed)
    lives = [(start, start + dice.uniform(60, 40_000)) for start in (dice.uniform(-20_000, 86_400) for _ in range(300))]
    made = []
    for number in range(tasks):
        worker = dice.randrange(len(lives))
        begin, end = lives[worker]
        start = dice.uniform(begin - 100, end)
        made.append(ran((f"dag{number % 50}", "o"), start, start + dice.expovariate(1 / 60), host=str(worker)))
    return made, lives, sum(max(0.0, min(end, 86_400) - max(begin, 0)) for begin, end in lives)


def test_whatever_ran_the_parts_add_up_to_the_workers_seconds() -> None:
    tasks, lives, worker_s = a_day(5_000)
    found = attribute(tasks, {"worker": counts_of_lives(lives)}, begin=0, end=86_400)["worker"]
    of_payer, unborne_s = bills(found)
    assert found.worker_s == pytest.approx(worker_s, rel=1e-9)
    assert sum(bill.worker_s for bill in of_payer.values()) + unborne_s == pytest.approx(worker_s, rel=1e-9)


def test_minutes_add_up_to_the_day() -> None:
    tasks, lives, worker_s = a_day(500)
    counts = {"worker": counts_of_lives(lives)}
    minutes = [attribute(tasks, counts, begin=at, end=at + 600)["worker"] for at in range(0, 86_400, 600)]
    day = attribute(tasks, counts, begin=0, end=86_400)["worker"]
    added = sum(minutes, Use())
    assert added.worker_s == pytest.approx(worker_s, rel=1e-9)
    for payer, share in day.shares.items():
        assert added.shares[payer].worker_s == pytest.approx(share.worker_s, rel=1e-6)
        assert added.shares[payer].tasks == share.tasks


def test_it_takes_little_more_than_n_log_n() -> None:
    few, many = (a_day(tasks)[:2] for tasks in (5_000, 50_000))
    spent = []
    for tasks, lives in (few, many):
        counts = {"worker": counts_of_lives(lives)}
        began = time.process_time()
        attribute(tasks, counts, begin=0, end=86_400)
        spent.append(time.process_time() - began)
    assert spent[1] < 40 * spent[0]  # a square would be a hundred times
