"""The webserver's answers about the fleet over HTTP: a real Airflow with the plugin, a real Redis."""

import json

import pytest
import redis

from bench.micro.page import sample_fleet
from bench.micro.page.sample_fleet import HOSTILE, a_member, airflow_members
from bench.micro.page.webserver import Webserver
from fleet import registry
from fleet.registry import Registry
from local.servers.redis import Redis

ENDPOINTS = ("/fleet/api/fleet", "/fleet/api/code", "/fleet/api/history")
MANY = 500


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_user_who_is_not_signed_in_gets_no_data(webserver: Webserver, store: redis.Redis, path: str) -> None:
    sample_fleet.a_fleet(store)
    answer = webserver.get(path)
    assert answer.status_code == 401
    assert "1.4.0" not in answer.text


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_user_without_permission_is_refused(webserver: Webserver, store: redis.Redis, path: str) -> None:
    sample_fleet.a_fleet(store)
    answer = webserver.get(path, user="nobody")
    assert answer.status_code == 403
    assert "1.4.0" not in answer.text


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("user", ["viewer", "admin"])
def test_users_who_may_read_cluster_activity_may_see_the_fleet(webserver: Webserver, user: str, path: str) -> None:
    answer = webserver.get(path, user=user)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_the_figures_are_those_of_the_registry_and_the_queues(webserver: Webserver, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    store.lpush("heavier\x06\x163", b"a message of another priority")
    store.set(registry.waiting_key("heavy"), 1997)
    said = webserver.get("/fleet/api/fleet", user="viewer").json()
    workers = [m for m in Registry(store).members().members if m.role == "worker"]
    shown = {pool["name"]: pool for pool in said["pools"]}
    assert sorted(shown) == ["heavy", "worker"]
    assert {name: pool["active"] for name, pool in shown.items()} == {
        name: sum(worker.active for worker in workers if worker.pool == name) for name in shown
    }
    assert (shown["worker"]["consuming"], shown["worker"]["draining"], shown["worker"]["desired"]) == (10, 2, 13)
    assert (shown["worker"]["queued"], shown["heavy"]["queued"]) == (27, 3)
    assert (shown["worker"]["waiting"], shown["heavy"]["waiting"]) == (0, 1997)
    assert [member["id"] for member in said["members"]] == [m.id for m in Registry(store).members().members]
    assert (said["code"]["status"], said["code"]["differing"]) == ("out_of_sync", 2)


def test_the_history_holds_the_decisions_and_the_forecast_what_was_written(
    webserver: Webserver, store: redis.Redis
) -> None:
    sample_fleet.a_fleet(store)
    worker, _ = webserver.get("/fleet/api/history", user="viewer").json()["pools"]
    latest = json.loads(store.lindex(registry.decisions_key("worker"), 0) or b"")
    assert worker["samples"][-1] == [
        latest["t"],
        *(latest[name] for name in ("queued", "active", "consuming", "draining", "desired")),
    ]
    assert len(worker["samples"]) > 700
    assert worker["forecast"] == json.loads(store.get(registry.forecast_key("worker")) or b"")


def test_an_empty_registry_is_shown_as_unknown_and_not_as_in_sync(webserver: Webserver, store: redis.Redis) -> None:
    said = webserver.get("/fleet/api/fleet", user="viewer").json()
    assert (said["code"]["status"], said["members"]) == ("unknown", [])
    assert {pool["desired"] for pool in said["pools"]} == {None}
    (past, _) = webserver.get("/fleet/api/history", user="viewer").json()["pools"]
    assert (past["samples"], past["forecast"], past["troubles"]) == ([], None, [])


def test_malformed_records_are_named_and_the_others_stay_readable(webserver: Webserver, store: redis.Redis) -> None:
    now = Registry(store).now()
    sample_fleet.report(store, airflow_members(now=now))
    store.zadd(registry.MEMBERS_KEY, {HOSTILE: now})
    store.set(registry.member_key(HOSTILE), '{"version": 1, "id": 7}')
    answer = webserver.get("/fleet/api/fleet", user="viewer")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["malformed"] == [HOSTILE]
    assert answer.json()["code"]["status"] == "unknown"
    assert len(answer.json()["members"]) == 5


def test_records_that_the_autoscaler_ignores_are_named_and_count_nowhere(
    webserver: Webserver, store: redis.Redis
) -> None:
    now = Registry(store).now()
    forged, real = a_member(1, now=now, image_version="forged", active=7), a_member(2, now=now)
    sample_fleet.report(store, [forged, real])
    store.zadd(registry.MEMBERS_KEY, {HOSTILE: now})
    decision = {"t": now, "reason": "No tasks", "ignored": [forged.id, HOSTILE]}
    Registry(store).record_decision("worker", decision)
    said = webserver.get("/fleet/api/fleet", user="viewer").json()
    assert [member["id"] for member in said["members"]] == [real.id]
    assert (said["malformed"], said["pools"][0]["active"]) == ([], real.active)
    assert [group["code"]["image_version"] for group in said["code"]["groups"]] == [real.image_version]
    (trouble,) = said["pools"][0]["troubles"]
    assert trouble == f"records without a running ECS task of the pool, ignored: {forged.id}, {HOSTILE}"
    Registry(store).record_decision("worker", {**decision, "t": now - 181})  # the autoscaler has ended
    assert len(webserver.get("/fleet/api/fleet", user="viewer").json()["members"]) == 2


def test_text_that_utf_8_cannot_hold_breaks_nothing(webserver: Webserver, store: redis.Redis) -> None:
    member = a_member(1, now=Registry(store).now(), image_version="\ud800")
    sample_fleet.report(store, [member])
    (shown,) = webserver.get("/fleet/api/fleet", user="viewer").json()["members"]
    assert shown["image_version"] == "\ud800"


def test_unreadable_data_is_unknown_and_named(webserver: Webserver, store: redis.Redis) -> None:
    store.set("default", "no list")
    store.set(registry.decisions_key("worker"), "no list")
    store.lpush(registry.decisions_key("heavy"), "{")
    store.set(registry.history_key("worker"), "no hash")
    store.set(registry.forecast_key("heavy"), "{")
    store.set(registry.waiting_key("worker"), "-1")
    store.lpush(registry.waiting_key("heavy"), "1")
    worker, heavy = webserver.get("/fleet/api/fleet", user="viewer").json()["pools"]
    assert (worker["queued"], worker["desired"], heavy["queued"]) == (None, None, 0)
    assert (worker["waiting"], heavy["waiting"]) == (None, None)
    unreadable = "the number of tasks that wait in the scheduler cannot be read"
    assert worker["troubles"] == ["the queues cannot be read", unreadable, "the decisions cannot be read"]
    assert heavy["troubles"] == [unreadable, "malformed decisions among the last 1: 1"]
    worker, heavy = webserver.get("/fleet/api/history", user="viewer").json()["pools"]
    assert worker["troubles"] == ["the history cannot be read"]
    assert heavy["troubles"] == ["the forecast is not JSON"]


def test_workers_of_an_undeclared_pool_are_named(webserver: Webserver, store: redis.Redis) -> None:
    sample_fleet.report(store, [a_member(1, pool="gone", now=Registry(store).now())])
    assert webserver.get("/fleet/api/fleet", user="viewer").json()["undeclared_pools"] == ["gone"]


def test_the_answer_without_the_broker_is_an_error_without_its_address(webserver: Webserver, broker: Redis) -> None:
    broker.stop()
    try:
        answers = [webserver.get(path, user="viewer") for path in ENDPOINTS]
    finally:
        broker.start()
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (503, '{"detail":"The broker cannot be read."}')
    }
    assert webserver.get(ENDPOINTS[0], user="viewer").status_code == 200


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_larger_fleet_takes_no_more_commands(webserver: Webserver, store: redis.Redis, path: str) -> None:
    def commands() -> int:
        before = store.info("stats")["total_commands_processed"]
        assert webserver.get(path, user="viewer").status_code == 200
        return int(store.info("stats")["total_commands_processed"] - before)

    now = Registry(store).now()
    sample_fleet.report(store, [a_member(n, now=now) for n in range(5)])
    few = commands()
    sample_fleet.report(store, [a_member(n, now=now) for n in range(MANY)])
    assert commands() == few


def test_the_pages_files_may_be_cached_and_are_not_found_under_another_hash(
    webserver: Webserver, store: redis.Redis
) -> None:
    plugins = webserver.get("/api/v2/plugins", user="admin").json()["plugins"]
    page, banner, why = next(plugin["react_apps"] for plugin in plugins if plugin["name"] == "fleet_web")
    assert [app["destination"] for app in (page, banner, why)] == ["nav", "dashboard", "task_instance"]
    for app in (page, banner, why):
        answer = webserver.get(f"/{app['bundle_url']}")
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    folder, _, name = page["bundle_url"].rpartition("/")
    missing = webserver.get(f"/{folder[:-1]}/{name}")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/json")
