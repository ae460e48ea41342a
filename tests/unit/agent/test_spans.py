"""Which span is added up next, and what samples of the autoscaler say about the number of workers."""

import json

import pytest

from agent.costs.counts import HOLDS_S, counts_of
from agent.costs.spans import LAG_S, LONGEST_S, next_span, usd_of
from fleet.attribution import Use
from fleet.costs import DAY_S, Day
from fleet.worker_price import WorkerSize

TODAY = 20_000 * DAY_S
NOW = TODAY + 7200.0


def days(*until_s: float) -> list[Day]:
    """Return today and the days before it, each accounted for up to so many seconds after its begin."""
    return [Day(begin=TODAY - ago * DAY_S, until=TODAY - ago * DAY_S + s) for ago, s in enumerate(until_s)]


@pytest.mark.parametrize(
    ("until_s", "now", "expected"),
    [
        # Nothing is accounted for: today first.
        ((0, 0), NOW, (TODAY, NOW - LAG_S)),
        # Today up to LAG_S ago.
        ((7000, 0), NOW, (TODAY + 7000, NOW - LAG_S)),
        # Too little has come of today: the day before.
        ((7200 - LAG_S - 10, 0), NOW, (TODAY - DAY_S, TODAY - DAY_S + LONGEST_S)),
        # The end of a day is added as soon as it is sure, however short it is.
        ((0, DAY_S - 5), TODAY + LAG_S, (TODAY - 5, TODAY)),
        # All is there.
        ((7200 - LAG_S, DAY_S), NOW, None),
        # Redis's clock went back.
        ((7200, DAY_S), NOW - 3600, None),
        # Just after midnight nothing of today is sure.
        ((0, DAY_S), TODAY + 10.0, None),
    ],
    ids=["begin", "lag", "yesterday", "midnight", "complete", "clock", "after-midnight"],
)
def test_the_next_span(until_s: tuple[float, ...], now: float, expected: tuple[float, float] | None) -> None:
    span = next_span(days(*until_s), now=now)
    assert expected == (None if span is None else (span.begin, span.end))


def test_a_shorter_limit_gives_shorter_spans() -> None:
    span = next_span(days(0), now=NOW, longest_s=60)
    assert span is not None
    assert span.end - span.begin == 60


def sample(at: float, *, consuming: int | None = 3, draining: int | None = 0, desired: int | None = 4) -> str:
    return json.dumps([at, 1, 2, consuming, draining, desired])


def test_samples_count_workers_that_boot_and_during_a_deployment_those_that_drain() -> None:
    raw = [sample(NOW - 60), sample(NOW - 30, consuming=4, draining=3), sample(NOW - 1, consuming=None)]
    assert [(count.at, count.workers) for count in counts_of(raw, now=NOW)] == [
        (NOW - 60, 4),
        (NOW - 30, 7),
        (NOW - 1, 4),
    ]


def test_a_sample_holds_until_two_ticks_were_missed() -> None:
    (count,) = counts_of([sample(NOW - 60)], now=NOW)
    assert count.until == NOW - 60 + HOLDS_S


def test_a_sample_without_a_number_or_a_malformed_one_says_nothing() -> None:
    assert counts_of([sample(NOW - 60, desired=None), "{", b"\xff", "[1]"], now=NOW) == []


def test_dollars_follow_from_hours_size_and_mean_number() -> None:
    size = WorkerSize(cpu=1024, memory=2048, disk=20, base=1, spot=0)
    use = Use(idle_s=7200.0)
    assert usd_of(use, size, "X86_64", lasted_s=3600.0) == pytest.approx(2 * (0.04048 + 2 * 0.004445))
