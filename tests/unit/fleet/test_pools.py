"""The declaration of the worker pools."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fleet.pools import (
    Pool,
    PoolsError,
    find_pool,
    lists_of,
    lists_of_pools,
    pool_entry,
    read_pools,
    total_slots,
    why_unserved,
)

ENTRY = pool_entry(name="worker", service="stack-Worker", queues=["default"], minimum=1, maximum=10, concurrency=16)
OTHER = pool_entry(name="long", queues=["long", "longer", "long"], minimum=0, maximum=3, concurrency=4)
WORKER = Pool(name="worker", service="stack-Worker", queues=("default",), minimum=1, maximum=10, concurrency=16)
LONG = Pool(name="long", queues=("long", "longer"), minimum=0, maximum=3, concurrency=4)


def test_declared_pools_are_read_back() -> None:
    assert read_pools(json.dumps([ENTRY, OTHER])) == (WORKER, LONG)


def test_a_queue_of_no_pool_is_named_with_the_nearest_one() -> None:
    assert [why_unserved(queue, (WORKER, LONG)) for queue in ("default", "longer")] == ["", ""]
    assert why_unserved("lnog", (WORKER, LONG)) == (
        "no pool serves the queue 'lnog'; did you mean 'long'? The queues are default, long, longer"
    )


def test_an_entry_has_these_fields() -> None:
    fields = {"name": "worker", "service": "stack-Worker", "queues": ["default"], "min": 1, "max": 10}
    assert {**fields, "concurrency": 16} == ENTRY
    assert "service" not in OTHER


def test_a_worker_reads_its_pool_without_limits() -> None:
    own = pool_entry(name="worker", queues=["default"], concurrency=16)
    assert own.keys() == {"name", "queues", "concurrency"}
    (pool,) = read_pools(json.dumps([own]), with_limits=False)
    assert pool == Pool(name="worker", queues=("default",), minimum=0, maximum=0, concurrency=16)
    with pytest.raises(PoolsError, match="min of pool worker is None"):
        read_pools(json.dumps([own]))


@pytest.mark.parametrize(
    ("declaration", "complaint"),
    [
        ("{", "POOLS is not JSON"),
        ("{}", "at least one pool"),
        ("[]", "at least one pool"),
        ("[1]", "1 is not an object"),
    ],
)
def test_a_declaration_that_is_not_a_list_of_pools_is_refused(declaration: str, complaint: str) -> None:
    with pytest.raises(PoolsError, match=complaint):
        read_pools(declaration)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"min": -1}, "min of pool worker is -1"),
        ({"min": True}, "min of pool worker is True"),
        ({"max": None}, "max of pool worker is None"),
        ({"max": "1"}, "max of pool worker is '1'"),
        ({"max": 0}, "max of pool worker is 0"),
        ({"concurrency": 0}, "concurrency of pool worker is 0"),
        ({"queues": []}, "queues of pool worker is"),
        ({"queues": "default"}, "queues of pool worker is"),
        ({"queues": [""]}, "queues of pool worker is"),
        ({"service": 7}, "service of pool worker is 7"),
        ({"task_definition": 7}, "task_definition of pool worker is 7"),
        ({"name": 7}, "name is 7"),
        ({"name": None}, "name is None"),
    ],
)
def test_a_wrong_pool_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PoolsError, match=f"POOLS: {complaint}"):
        read_pools(json.dumps([{**ENTRY, **change}]))


COMPACT: dict[str, Any] = {
    "service": "stack-",
    "task_definition": "arn:aws:ecs:eu-west-1:1:task-definition/stack-",
    "pools": [["worker", "Worker", ["default"], 1, 10, 16, "Worker:7"], ["long", "Long", ["long", "longer"], 0, 3, 4]],
}


def test_a_function_reads_the_compact_form() -> None:
    long = replace(LONG, service="stack-Long")
    worker = replace(WORKER, task_definition="arn:aws:ecs:eu-west-1:1:task-definition/stack-Worker:7")
    assert read_pools(json.dumps(COMPACT), with_services=True) == (worker, long)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pools": []}, "at least one pool"),
        ({"pools": {}}, "at least one pool"),
        ({"service": 7}, "at least one pool"),
        ({"pools": ["worker"]}, "'worker' is not an object"),
        ({"pools": [[]]}, "name is None"),
        ({"pools": [["worker", 7, ["default"], 1, 10, 16]]}, "service of pool worker is 7"),
        ({"pools": [["worker", "Worker", ["default"], 1, 10]]}, "concurrency of pool worker is None"),
        ({"pools": [["worker", "Worker", ["default"], 1, 10, 16, 7]]}, "task_definition of pool worker is 7"),
        ({"pools": [*COMPACT["pools"], COMPACT["pools"][0]]}, "two pools have the same name"),
    ],
)
def test_a_wrong_compact_form_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PoolsError, match=f"POOLS.*{complaint}"):
        read_pools(json.dumps({**COMPACT, **change}), with_services=True)


@pytest.mark.parametrize("service", [{}, {"service": ""}])
def test_a_pool_without_a_service_is_refused_where_services_are_needed(service: dict[str, str]) -> None:
    with pytest.raises(PoolsError, match="service of pool long is ''"):
        read_pools(json.dumps([ENTRY, {**OTHER, **service}]), with_services=True)


@pytest.mark.parametrize(("change", "what"), [({"service": "other"}, "name"), ({"name": "other"}, "service")])
def test_two_pools_share_neither_name_nor_service(change: dict[str, Any], what: str) -> None:
    with pytest.raises(PoolsError, match=f"two pools have the same {what}"):
        read_pools(json.dumps([ENTRY, {**ENTRY, **change}]))


def test_a_pool_is_found_by_its_name_or_the_declared_ones_are_listed() -> None:
    assert find_pool((WORKER, LONG), "long") == LONG
    with pytest.raises(PoolsError, match="POOL is 'other', and POOLS declares only worker, long"):
        find_pool((WORKER, LONG), "other")


def test_total_slots_sum_over_the_pools() -> None:
    assert total_slots((WORKER, LONG)) == 10 * 16 + 3 * 4


def test_the_lists_of_pools_are_those_of_each_queue_in_order() -> None:
    assert lists_of("default") == ("default", "default\x06\x163", "default\x06\x166", "default\x06\x169")
    assert lists_of_pools([WORKER, LONG]) == [*lists_of("default"), *lists_of("long"), *lists_of("longer")]
