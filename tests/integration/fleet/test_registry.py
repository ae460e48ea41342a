"""The fleet registry on a real Redis."""

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from fleet import registry
from fleet.forecast import FORECAST_TTL_S
from fleet.registry import Registry
from tests.support.members import A_WORKER

ANOTHER = dataclasses.replace(A_WORKER, id="bbbb/worker")


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
def client(redis_server: Any, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """Yield a client of an empty Redis, without and with decoded responses: image and functions differ in that."""
    client = redis.Redis.from_url(redis_server.url, decode_responses=request.param)
    client.flushall()
    yield client
    client.close()


def test_a_reported_member_is_read_back_with_the_time_by_redis(client: redis.Redis) -> None:
    fleet = Registry(client)
    before = fleet.now()
    fleet.report(A_WORKER)
    (member,) = fleet.members().members
    assert before <= member.last_seen <= fleet.now()
    assert dataclasses.replace(member, last_seen=0.0) == A_WORKER


def test_a_hosts_clock_changes_nothing(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    fleet = Registry(client)
    fleet.report(A_WORKER)
    assert [member.id for member in fleet.members().members] == [A_WORKER.id]


def test_a_member_not_seen_for_longer_than_its_time_is_gone(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    client.zadd(registry.MEMBERS_KEY, {A_WORKER.id: fleet.now() - registry.MEMBER_TTL_S - 1})
    roster = fleet.members()
    assert (roster.members, roster.malformed) == ((), ())


def test_reporting_drops_members_that_are_gone_from_the_list(client: redis.Redis) -> None:
    fleet = Registry(client)
    client.zadd(registry.MEMBERS_KEY, {"old/worker": fleet.now() - registry.MEMBER_TTL_S - 1})
    fleet.report(A_WORKER)
    assert client.zcard(registry.MEMBERS_KEY) == 1


def test_a_record_outlives_its_member_only_for_a_while(client: redis.Redis) -> None:
    Registry(client).report(A_WORKER)
    assert 0 < client.ttl(registry.member_key(A_WORKER.id)) <= registry.RECORD_TTL_S


def test_members_come_in_the_order_of_their_ids(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(ANOTHER)
    fleet.report(A_WORKER)
    assert [member.id for member in fleet.members().members] == [A_WORKER.id, ANOTHER.id]


def test_a_full_redis_is_read(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            fleet.report(ANOTHER)
        assert [member.id for member in fleet.members().members] == [A_WORKER.id]
        assert [member.id for member in fleet.members_of("worker").members] == [A_WORKER.id]
    finally:
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    ("ago_s", "stays"),
    [(registry.MEMBER_TTL_S + 1, False), (registry.MEMBER_TTL_S - 5, True), (-1, True), (-60, False), (-4e9, False)],
)
def test_names_seen_too_long_ago_and_in_the_future_are_swept(client: redis.Redis, ago_s: float, stays: bool) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    client.zadd(registry.MEMBERS_KEY, {"x": fleet.now() - ago_s})
    roster = fleet.members()
    assert roster.is_to_sweep is not stays
    fleet.sweep(now=roster.read_at)
    assert client.zcard(registry.MEMBERS_KEY) == 1 + stays
    assert not fleet.members().is_to_sweep


def test_a_malformed_record_is_named_and_hides_no_other_member(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    for member_id in ("not-json/worker", "no-record/worker"):
        client.zadd(registry.MEMBERS_KEY, {member_id: fleet.now()})
    client.set(registry.member_key("not-json/worker"), "{")
    roster = fleet.members()
    assert [member.id for member in roster.members] == [A_WORKER.id]
    assert roster.malformed == ("no-record/worker", "not-json/worker")


def test_a_member_seen_in_the_future_counts_as_malformed(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    client.zadd(registry.MEMBERS_KEY, {A_WORKER.id: fleet.now() + 3600})
    assert fleet.members().malformed == (A_WORKER.id,)


def test_an_orderly_shutdown_leaves_only_an_order_that_expires(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.report(A_WORKER)
    fleet.give_orders({A_WORKER.id: registry.ORDER_DRAIN})
    fleet.forget(A_WORKER.id)
    (left,) = client.scan_iter()
    assert left in (registry.order_key(A_WORKER.id), registry.order_key(A_WORKER.id).encode())
    assert 0 < client.ttl(left) <= registry.ORDER_TTL_S


def test_an_order_is_read_by_the_member_it_was_given_to(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.give_orders({A_WORKER.id: registry.ORDER_DRAIN})
    assert fleet.order(A_WORKER.id) == registry.ORDER_DRAIN
    assert fleet.order(ANOTHER.id) is None


def test_an_unknown_order_is_refused_and_none_is_given(client: redis.Redis) -> None:
    fleet = Registry(client)
    with pytest.raises(ValueError, match="unknown order: sleep"):
        fleet.give_orders({A_WORKER.id: registry.ORDER_DRAIN, ANOTHER.id: "sleep"})
    assert fleet.order(A_WORKER.id) is None


def test_no_orders_cost_no_command(client: redis.Redis) -> None:
    Registry(client).give_orders({})
    assert client.keys("*") == []


def test_decisions_are_kept_newest_first_and_capped(client: redis.Redis) -> None:
    fleet = Registry(client)
    for desired in range(5):
        fleet.record_decision("worker", {"t": 1000.0, "desired": desired}, keep=3)
    kept = client.lrange(registry.decisions_key("worker"), 0, -1)
    assert [json.loads(entry)["desired"] for entry in kept] == [4, 3, 2]


def test_the_scalers_memory_reads_back_per_pool(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.write_memory("worker", {"since": 1.5})
    assert fleet.read_memory("worker") == {"since": 1.5}
    assert fleet.read_memory("other") == {}


@pytest.mark.parametrize("raw", ["[]", "{"])
def test_a_memory_that_is_not_an_object_is_an_error_rather_than_an_empty_one(client: redis.Redis, raw: str) -> None:
    client.set(registry.scaler_key("worker"), raw)
    with pytest.raises(ValueError, match=r"."):
        Registry(client).read_memory("worker")


def test_images_are_given_up_by_pool_for_a_while(client: redis.Redis) -> None:
    fleet = Registry(client)
    assert fleet.images_given_up(["worker", "long"]) == frozenset()
    fleet.note_given_up("worker", "image:2")
    fleet.note_given_up("another", "image:3")
    assert fleet.images_given_up(["worker", "long"]) == {"image:2"}
    assert 0 < client.ttl("fleet:given-up:worker") <= registry.GIVEN_UP_TTL_S


def test_a_forecast_is_read_back(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.write_forecast("worker", ((1_800_000_000, 8), (1_800_000_300, 4)))
    assert fleet.forecast("worker") == ((1_800_000_000, 8), (1_800_000_300, 4))
    assert json.loads(client.get("fleet:forecast:worker") or b"") == [[1_800_000_000, 8], [1_800_000_300, 4]]
    assert fleet.forecast("long") is None


def test_a_forecast_replaces_the_one_before(client: redis.Redis) -> None:
    fleet = Registry(client)
    fleet.write_forecast("worker", ((1_800_000_000, 8),))
    fleet.write_forecast("worker", ())
    assert fleet.forecast("worker") == ()


def test_a_forecast_expires_after_its_forecaster_stops(client: redis.Redis) -> None:
    Registry(client).write_forecast("worker", ((1_800_000_000, 8),))
    assert 0 < client.ttl("fleet:forecast:worker") <= FORECAST_TTL_S
    client.pexpire("fleet:forecast:worker", 1)
    time.sleep(0.01)
    assert Registry(client).forecast("worker") is None


def test_an_invalid_forecast_is_not_written(client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="the forecast holds"):
        Registry(client).write_forecast("worker", ((1_800_000_000, -1),))
    assert not client.exists("fleet:forecast:worker")


def test_an_invalid_forecast_from_elsewhere_is_refused(client: redis.Redis) -> None:
    client.set("fleet:forecast:worker", "soon")
    with pytest.raises(ValueError, match="not JSON"):
        Registry(client).forecast("worker")
