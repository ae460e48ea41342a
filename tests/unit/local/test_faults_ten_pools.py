"""The stack of the fault `starvation`: ten pools, and a load for each."""

import json
from pathlib import Path

from local.scenarios.faults.starvation import FLOOD_TASKS, ROUND_S
from local.scenarios.faults.ten_pools import (
    DEFAULT,
    FLOOD,
    FLOODED,
    FROM_ZERO,
    LOADS,
    MEASURED,
    MISTAKE,
    OVERRIDES,
    PAUSED,
    POOLS,
    load_of,
    write_dags,
)
from local.stack.preflight import preflight
from local.stack.up import CONFIG_ENV, DEFAULT_POOL
from stack.render import render
from template_gen import build

QUEUES = {queue for pool in POOLS for queue in pool.queues}


def test_the_ten_pools_have_one_to_eight_slots() -> None:
    assert len({pool.name for pool in POOLS}) == 10
    assert {pool.max * pool.concurrency for pool in POOLS} == set(range(1, 9))
    assert [pool.name for pool in POOLS if pool.min == 0] == [PAUSED.name, FROM_ZERO.name]


def test_all_pools_but_the_flooded_and_the_paused_one_are_measured() -> None:
    assert {pool.name for pool in POOLS} - {pool.name for pool in MEASURED} == {FLOODED.name, PAUSED.name}


def test_every_load_is_for_a_served_queue_and_the_mistake_for_none() -> None:
    assert {load.queue for load in LOADS} == QUEUES
    assert MISTAKE.queue not in QUEUES


def test_a_load_leaves_its_pool_idle_before_the_next_round() -> None:
    for pool in POOLS:
        load = load_of(pool)
        # Airflow adds at most half of the time that the task itself takes, on a busy machine
        assert 1.5 * load.seconds * load.tasks / pool.concurrency < ROUND_S


def test_the_flood_of_ten_minutes_outlasts_its_rounds_by_its_tasks_alone() -> None:
    rounds = FLOOD_TASKS // FLOOD.tasks
    assert rounds * ROUND_S == 600
    assert FLOOD_TASKS * FLOOD.seconds / FLOODED.concurrency > 600


def test_the_mistake_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    write_dags(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "loads.json",
        "loads.py",
        "mistake.json",
        "mistake.py",
    ]
    assert [load["name"] for load in json.loads((tmp_path / "mistake.json").read_text())] == [MISTAKE.name]


def test_the_template_with_ten_pools_is_acceptable_where_the_default_pool_has_one_worker() -> None:
    # OneMax is a parameter of this template, and not of the committed one
    overrides = OVERRIDES | {"OneMax": "2"}
    config = preflight(CONFIG_ENV, template=render(build(POOLS)), overrides=overrides).config
    assert (config.parameters["WorkerMax"], config.parameters["WorkerConcurrency"]) == ("1", "4")
    assert DEFAULT.name == DEFAULT_POOL
