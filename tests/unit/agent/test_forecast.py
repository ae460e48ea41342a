"""Unit tests of the forecast from runs that are due or under way and from past use."""

import pytest

from agent.forecaster.forecast import DueRun, PastUse, forecast
from fleet.forecast import MOST_FORECAST_SLOTS, Forecast

POOL_OF = {"default": "worker", "long": "long", "longer": "long"}
TEN_O_CLOCK = 1_800_000_000


def run(dag_id: str, at: float = TEN_O_CLOCK) -> DueRun:
    return DueRun(dag_id=dag_id, at=at)


def use(dag_id: str, *rises: tuple[int, int], queue: str = "default", runs: int = 1) -> PastUse:
    return PastUse(dag_id=dag_id, queue=queue, runs=runs, rises=rises)


def forecast_of(*given: DueRun | PastUse, since: float = TEN_O_CLOCK - 60) -> dict[str, Forecast]:
    runs = [item for item in given if isinstance(item, DueRun)]
    past = [item for item in given if isinstance(item, PastUse)]
    return forecast(runs, past, pool_of=POOL_OF, since=since)


@pytest.mark.parametrize(
    ("wanted", "runs", "slots"),
    [
        (7, 1, 7),
        (50, 10, 5),
        (52, 10, 5),  # 5.2
        (53, 10, 6),  # 5.3
        (3, 10, 1),  # 0.3
    ],
)
def test_a_run_is_expected_to_need_the_mean_of_past_runs_rounded_up_from_a_quarter(
    wanted: int, runs: int, slots: int
) -> None:
    assert forecast_of(run("a"), use("a", (0, wanted), runs=runs))["worker"] == ((TEN_O_CLOCK, slots),)


def test_a_run_is_expected_to_continue_like_past_runs() -> None:
    found = forecast_of(run("a"), use("a", (0, 2), (45, 20), (120, 1), runs=2))
    assert found["worker"] == ((TEN_O_CLOCK, 1), (TEN_O_CLOCK + 45, 10), (TEN_O_CLOCK + 120, 1))


def test_fractions_add_up_before_they_are_rounded() -> None:
    # 10 x 0.2 = 2; each alone is rounded to 0.
    dags = [f"dag{number}" for number in range(10)]
    uses = [use(dag_id, (30, 1), runs=5) for dag_id in dags]
    assert forecast_of(*map(run, dags), *uses)["worker"] == ((TEN_O_CLOCK + 30, 2),)


def test_stages_of_runs_that_were_due_at_different_times_add_up_where_they_meet() -> None:
    found = forecast_of(run("a"), run("b", TEN_O_CLOCK + 60), use("a", (60, 3)), use("b", (0, 4)))
    assert found["worker"] == ((TEN_O_CLOCK + 60, 7),)


def test_past_rises_of_a_run_under_way_are_not_expected() -> None:
    found = forecast_of(run("a"), use("a", (0, 2), (45, 20), (120, 1)), since=TEN_O_CLOCK + 45)
    assert found["worker"] == ((TEN_O_CLOCK + 120, 1),)


def test_runs_that_are_due_at_once_add_up() -> None:
    # 8 + 3
    assert forecast_of(run("a"), run("b"), use("a", (0, 8)), use("b", (0, 3)))["worker"] == ((TEN_O_CLOCK, 11),)


def test_each_time_has_its_own_slots_in_order() -> None:
    later = TEN_O_CLOCK + 300
    found = forecast_of(run("a", later), run("b"), run("a"), use("a", (0, 8)), use("b", (0, 3)))
    assert found["worker"] == ((TEN_O_CLOCK, 11), (later, 8))


def test_times_within_a_second_are_one() -> None:
    found = forecast_of(run("a", TEN_O_CLOCK + 0.2), run("b", TEN_O_CLOCK + 0.9), use("a", (0, 1)), use("b", (0, 2)))
    assert found["worker"] == ((TEN_O_CLOCK, 3),)


def test_a_pools_forecast_sums_its_queues() -> None:
    uses = (use("a", (0, 2)), use("a", (0, 5), queue="long"), use("a", (0, 7), queue="longer"))
    assert forecast_of(run("a"), *uses) == {"worker": ((TEN_O_CLOCK, 2),), "long": ((TEN_O_CLOCK, 12),)}


def test_a_queue_of_no_pool_is_left_out() -> None:
    assert forecast_of(run("a"), use("a", (0, 9), queue="elsewhere")) == {"worker": (), "long": ()}


def test_a_dag_that_never_ran_adds_nothing() -> None:
    assert forecast_of(run("new"), use("a", (0, 9))) == {"worker": (), "long": ()}


def test_runs_that_need_no_slots_are_left_out() -> None:
    assert forecast_of(run("a"), use("a", (0, 2), runs=10))["worker"] == ()


def test_a_forecast_never_exceeds_what_its_readers_accept() -> None:
    found = forecast_of(run("a"), run("b"), use("a", (0, MOST_FORECAST_SLOTS)), use("b", (0, 1)))
    assert found["worker"] == ((TEN_O_CLOCK, MOST_FORECAST_SLOTS),)
