"""The verdict on a fault, and the choice of faults."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import psutil
import pytest

from local.scenarios.faults.capacity import GAP_S, believed_s
from local.scenarios.faults.failures import busy_processors
from local.scenarios.faults.run import choose, faults, up_with_one_pool
from local.scenarios.faults.verdict import Evidence, Tally, judge
from local.scenarios.sampling import WorkerSample
from project.errors import CommandError
from tests.support.members import A_WORKER

GOOD = Evidence(tally=Tally(tasks=60, succeeded=60), most_workers=4, seconds=61.04)


def instance(state: str | None, try_number: int = 1) -> dict[str, Any]:
    return {"state": state, "try_number": try_number}


def test_a_tally_counts_failed_lost_and_retried_tasks() -> None:
    instances = [instance("success"), instance("success", 2), instance("failed", 2), instance("queued"), instance(None)]
    # six were triggered: two succeeded, one failed, two have not ended, one does not exist
    assert Tally.of(instances, tasks=6) == Tally(tasks=6, succeeded=2, failed=1, lost=3, retried=2)


def test_tallies_of_several_runs_add_up() -> None:
    one = Tally(tasks=6, succeeded=2, failed=1, lost=3, retried=2)
    assert one + one == Tally(tasks=12, succeeded=4, failed=2, lost=6, retried=4)


def test_a_fault_without_consequences_holds() -> None:
    verdict = judge("redis", GOOD)
    assert verdict.holds
    assert verdict.line() == ("redis: tasks 60, succeeded 60, failed 0, lost 0, retried 0, most workers 4, seconds 61")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tally": Tally(tasks=60, succeeded=59, failed=1)}, "1 tasks failed"),
        ({"tally": Tally(tasks=60, succeeded=58, lost=2)}, "2 tasks were lost"),
        ({"tally": Tally(tasks=60, succeeded=60, retried=3)}, "3 tasks were retried, 0 expected"),
        ({"tally": Tally(tasks=0)}, "no task ran"),
        ({"started_twice": 2}, "2 tasks ran twice in one try"),
        ({"exposed": 1}, "1 times a worker had tasks and no protection"),
        ({"outlived": 1}, "1 containers outlived their stop timeout"),
        ({"unmet": ("return to the minimum: not seen within 240 s",)}, "return to the minimum: not seen within 240 s"),
        ({"retries_due": 4}, "0 tasks were retried, 4 expected"),
    ],
)
def test_every_unmet_requirement_is_in_the_verdict(change: dict[str, Any], said: str) -> None:
    verdict = judge("redis", replace(GOOD, **change))
    assert verdict.problems == (said,)
    assert not verdict.holds
    assert verdict.line().startswith(f"redis: {said}: tasks ")


def test_exactly_the_killed_tasks_must_be_retried_after_a_kill() -> None:
    killed = Evidence(tally=Tally(tasks=8, succeeded=8, retried=4), retries_due=4)
    assert judge("sigkill", killed).holds
    assert not judge("sigkill", replace(killed, retries_due=3)).holds


def test_the_record_holds_the_figures_beside_the_verdict() -> None:
    record = judge("redis", replace(GOOD, figures={"away_s": 3})).to_record()
    assert (record["name"], record["holds"], record["problems"], record["away_s"]) == ("redis", True, [], 3)


def test_every_fault_has_a_different_name() -> None:
    names = [fault.name for fault in faults()]
    assert len(set(names)) == len(names)


def test_the_autoscaler_fault_names_its_duration() -> None:
    away = next(fault for fault in faults(autoscaler_away_s=42) if fault.name == "autoscaler-away")
    assert "42 s" in away.what


def test_the_starvation_fault_names_its_flood() -> None:
    starvation = next(fault for fault in faults(flood_tasks=500) if fault.name == "starvation")
    assert "500 tasks" in starvation.what


def test_every_stack_is_brought_up_once() -> None:
    stacks = [bring_up for bring_up, _ in itertools.groupby(fault.bring_up for fault in faults())]
    assert len(stacks) == len(set(stacks)) == 2
    assert stacks[0] is up_with_one_pool


def test_named_faults_run_in_their_own_order() -> None:
    assert [fault.name for fault in choose(faults(), ["postgres", "redis"])] == ["redis", "postgres"]
    assert len(choose(faults(), [])) == len(faults())


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match=r"no such fault: rain; there are: .*redis"):
        choose(faults(), ["rain"])


def test_busy_processors_compute_until_the_end() -> None:
    own = psutil.Process()
    before = {child.pid for child in own.children()}
    with busy_processors(2):
        busy = [child for child in own.children() if child.pid not in before]
        assert len(busy) == 2
    assert not any(child.is_running() for child in busy)


def sampled(at: float, *, queued: int = 1, active: int = 3, trouble: str = "") -> WorkerSample:
    """Return a sample of one worker of 4 slots."""
    worker = replace(A_WORKER, slots=4, active=active, trouble=trouble)
    return WorkerSample(at=at, desired=1, running=1, queued=queued, workers=(worker,), exposed=())


def test_a_worker_is_believed_while_it_claims_a_free_slot_and_takes_nothing() -> None:
    assert believed_s([sampled(at) for at in (0.0, 1.0, 2.0, 3.5)]) == 3.5


@pytest.mark.parametrize(
    "between",
    [
        {"queued": 0},  # nothing to take
        {"active": 4},  # it took a message
        {"trouble": "no answer"},  # it does not claim to take any
    ],
)
def test_a_worker_that_takes_what_there_is_or_says_why_not_is_not_believed_wrongly(between: dict[str, Any]) -> None:
    assert believed_s([sampled(0.0), sampled(1.0), sampled(2.0, **between), sampled(3.0), sampled(4.0)]) == 1.0


def test_a_worker_whose_tasks_end_and_that_takes_nothing_is_believed_all_the_time() -> None:
    ending = [sampled(at, active=active) for at, active in ((0.0, 3), (1.0, 2), (2.0, 2), (3.0, 1), (4.0, 0))]
    assert believed_s(ending) == 4.0


def test_a_worker_that_takes_a_message_is_believed_rightly_until_then() -> None:
    taking = [sampled(at, active=active) for at, active in ((0.0, 3), (1.0, 2), (2.0, 3), (3.0, 2), (4.0, 2))]
    assert believed_s(taking) == 2.0


def test_what_no_one_could_read_is_not_held_against_a_worker() -> None:
    assert believed_s([sampled(0.0), sampled(1.0), sampled(1.0 + GAP_S + 1), sampled(2.0 + GAP_S + 1)]) == 1.0
