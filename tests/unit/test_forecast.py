"""What is forecast from runs that are due and from what such runs wanted before."""

import pytest

from fleet.forecast import DueRun, PastUse, forecast, slots_wanted
from fleet.foretold import MOST_FORECAST_SLOTS, Forecast

POOL_OF = {"default": "worker", "long": "long", "longer": "long"}
TEN_O_CLOCK = 1_800_000_000


def run(dag_id: str, at: float = TEN_O_CLOCK) -> DueRun:
    return DueRun(dag_id=dag_id, at=at)


def use(dag_id: str, *peaks: int, queue: str = "default", runs: int | None = None) -> PastUse:
    return PastUse(dag_id=dag_id, queue=queue, runs=len(peaks) if runs is None else runs, peaks=peaks)


def forecast_of(*given: DueRun | PastUse, quantile: float = 0.9) -> dict[str, Forecast]:
    due = [item for item in given if isinstance(item, DueRun)]
    past = [item for item in given if isinstance(item, PastUse)]
    return forecast(due, past, pool_of=POOL_OF, quantile=quantile)


@pytest.mark.parametrize(
    ("peaks", "runs", "quantile", "slots"),
    [
        # The 9th of 10 in order: one run that wanted more is left out, two are not.
        ((4, 4, 4, 4, 4, 4, 4, 4, 4, 90), 10, 0.9, 4),
        ((4, 4, 4, 4, 4, 4, 4, 4, 80, 90), 10, 0.9, 80),
        # ceil(0.9 x 3) = 3, the last
        ((3, 1, 2), 3, 0.9, 3),
        # ceil(0.5 x 4) = 2
        ((9, 1, 7, 3), 4, 0.5, 3),
        ((7,), 1, 0.9, 7),
        ((5, 6), 2, 1.0, 6),
        # One run of ten used the queue at all: in order nine zeros, then 50. The 9th is 0.
        ((50,), 10, 0.9, 0),
        ((50,), 10, 1.0, 50),
        ((), 10, 0.9, 0),
        ((), 0, 0.9, 0),
    ],
)
def test_a_run_is_expected_to_want_a_quantile_of_what_past_runs_wanted(
    peaks: tuple[int, ...], runs: int, quantile: float, slots: int
) -> None:
    assert slots_wanted(use("a", *peaks, runs=runs), quantile) == slots


def test_runs_that_are_due_at_once_add_up() -> None:
    # 8 + 3
    assert forecast_of(run("a"), run("b"), use("a", 8), use("b", 3))["worker"] == ((TEN_O_CLOCK, 11),)


def test_each_time_has_its_own_slots_in_order() -> None:
    later = TEN_O_CLOCK + 300
    found = forecast_of(run("a", later), run("b"), run("a"), use("a", 8), use("b", 3))
    assert found["worker"] == ((TEN_O_CLOCK, 11), (later, 8))


def test_times_within_a_second_are_one() -> None:
    found = forecast_of(run("a", TEN_O_CLOCK + 0.2), run("b", TEN_O_CLOCK + 0.9), use("a", 1), use("b", 2))
    assert found["worker"] == ((TEN_O_CLOCK, 3),)


def test_a_pool_gets_what_is_wanted_of_its_queues() -> None:
    uses = (use("a", 2, queue="default"), use("a", 5, queue="long"), use("a", 7, queue="longer"))
    assert forecast_of(run("a"), *uses) == {"worker": ((TEN_O_CLOCK, 2),), "long": ((TEN_O_CLOCK, 12),)}


def test_a_queue_of_no_pool_is_nobodys() -> None:
    assert forecast_of(run("a"), use("a", 9, queue="elsewhere")) == {"worker": (), "long": ()}


def test_a_dag_that_never_ran_is_not_guessed_at() -> None:
    assert forecast_of(run("new"), use("a", 9)) == {"worker": (), "long": ()}


def test_runs_that_want_nothing_are_not_mentioned() -> None:
    assert forecast_of(run("a"), use("a", 50, runs=10))["worker"] == ()


def test_nothing_is_foretold_that_a_reader_would_not_believe() -> None:
    found = forecast_of(run("a"), run("b"), use("a", MOST_FORECAST_SLOTS), use("b", 1))
    assert found["worker"] == ((TEN_O_CLOCK, MOST_FORECAST_SLOTS),)
