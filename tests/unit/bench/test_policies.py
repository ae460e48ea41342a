"""The compared policies in the simulation."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.loads.bounds import work_hours
from bench.loads.load import Load, load_of
from bench.policies.catalog import MAKERS, make, makers_for
from bench.policies.experiment import compare
from bench.sim.boots import Boots
from bench.sim.trial import Outcome, Setting, run_trial

ROUGH = Setting(slots=4, minimum=0, boots=Boots(correlated=0.5, failing=0.1), lost_ticks=0.2, launch_burst=5)
KILLS_NONE = ("ours", "mwaa-today", "static-peak")


def bursts(seed: int, *, tasks: int = 300, mean_s: float = 200) -> Load:
    dice = Random(seed)
    starts = [dice.random() * 7200 for _ in range(20)]
    pairs = [(dice.choice(starts) + dice.random() * 5, dice.expovariate(1 / mean_s)) for _ in range(tasks)]
    return load_of("bursts", pairs)


def trial(policy: str, load: Load, setting: Setting, *, seed: int = 1) -> Outcome:
    return run_trial(make(policy, load, setting), load=load, setting=setting, seed=seed)


@pytest.mark.parametrize("policy", list(makers_for(load_of("bursts", [(0, 0)]))))
def test_every_policy_completes_every_task_of_a_quiet_day(policy: str) -> None:
    load = bursts(1)
    outcome = trial(policy, load, Setting(slots=4, minimum=0))
    assert outcome.completed == len(load)
    assert outcome.worker_hours >= work_hours(load, slots=4)
    assert outcome.policy == policy


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), policy=st.sampled_from(KILLS_NONE))
def test_policies_that_spare_busy_workers_kill_no_task_under_any_failure(seed: int, policy: str) -> None:
    load = bursts(seed)
    outcome = trial(policy, load, ROUGH, seed=seed)
    assert (outcome.killed, outcome.completed) == (0, len(load))
    assert outcome.worker_hours >= work_hours(load, slots=4)


def test_each_boot_pulls_the_image_and_pays_for_it_where_it_comes_through_a_nat_gateway() -> None:
    (found,) = compare({"ours": MAKERS["ours"]}, load=bursts(1), setting=Setting(slots=4, minimum=0), seeds=(1,))
    record = found.to_record()
    assert record["boots"] > 0
    assert record["pulled_gb"] == pytest.approx(0.198 * record["boots"])
    assert record["pulled_by_nat_usd"] == pytest.approx(0.045 * 0.198 * record["boots"])


def test_policies_that_let_ecs_choose_kill_tasks() -> None:
    assert trial("keda", bursts(1, mean_s=3000), Setting(slots=4, minimum=0)).killed > 0


def test_the_same_seed_gives_the_same_results_in_any_number_of_processes() -> None:
    load, setting = bursts(2), Setting(slots=4)
    policies = {name: MAKERS[name] for name in ("ours", "keda")}
    alone = compare(policies, load=load, setting=setting, seeds=(1, 2))
    assert compare(policies, load=load, setting=setting, seeds=(1, 2), processes=2) == alone
    assert alone[0].outcomes[0] != alone[0].outcomes[1]
