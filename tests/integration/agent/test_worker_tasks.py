"""The webserver's answers about the running tasks of a worker: a real Airflow with its database, a real Redis."""

from typing import Any
from urllib.parse import quote

import pytest
import redis

from bench.micro.page import sample_fleet
from bench.micro.page.sample_fleet import a_member, airflow_members
from bench.micro.page.webserver import Webserver
from fleet.member import STOPPED
from fleet.registry import Registry
from local.servers.redis import Redis
from tests.support.airflow_stories import RUN

ADDRESS = "10.0.1.9"  # of the stories' worker
REPORT, SECRET = ("report", RUN, "first", -1, 1), ("secret", RUN, "second", -1, 1)

pytestmark = pytest.mark.usefixtures("stories")


def a_worker(store: redis.Redis, **changes: Any) -> str:
    """Report a worker at ADDRESS that runs two tasks; return its id."""
    worker = a_member(2, now=Registry(store).now(), **{"host": ADDRESS, **changes})
    sample_fleet.report(store, [worker])
    return worker.id


def ask(webserver: Webserver, worker: str, user: str | None = "viewer") -> Any:
    return webserver.get(f"/fleet/api/tasks?worker={quote(worker, safe='')}", user=user)


def keys(said: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(task[name] for name in ("dag", "run", "task", "map_index", "try_number")) for task in said["tasks"]]


def test_a_worker_has_its_running_tasks_oldest_first(webserver: Webserver, store: redis.Redis) -> None:
    said = ask(webserver, a_worker(store)).json()
    assert (keys(said), said["hidden"], said["more"]) == ([REPORT, SECRET], 0, False)
    assert 50 <= Registry(store).now() - said["tasks"][0]["since"] < 3600


def test_tasks_of_other_dags_are_counted_and_not_named(webserver: Webserver, store: redis.Redis) -> None:
    answer = ask(webserver, a_worker(store), user="watcher")
    assert (keys(answer.json()), answer.json()["hidden"]) == ([REPORT], 1)
    assert "secret" not in answer.text


def test_another_worker_has_none_of_them(webserver: Webserver, store: redis.Redis) -> None:
    assert keys(ask(webserver, a_worker(store, host="10.0.1.10")).json()) == []


def test_an_address_that_is_used_again_brings_no_earlier_tasks(webserver: Webserver, store: redis.Redis) -> None:
    assert keys(ask(webserver, a_worker(store, started_at=Registry(store).now() + 60)).json()) == []


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"host": ""}, 409, "has not reported its address"),
        ({"state": STOPPED}, 404, "no such worker"),
        ({"role": "flower", "pool": None}, 404, "no such worker"),
    ],
)
def test_what_has_no_tasks_to_show_says_why(
    webserver: Webserver, store: redis.Redis, changes: dict[str, Any], status: int, says: str
) -> None:
    answer = ask(webserver, a_worker(store, **changes))
    assert answer.status_code == status
    assert says in answer.text


@pytest.mark.parametrize("worker", ["", "nobody/worker", "' or 1=1 --", "\u2028/worker"])
def test_an_unknown_worker_is_not_found(webserver: Webserver, store: redis.Redis, worker: str) -> None:
    a_worker(store)
    assert ask(webserver, worker).status_code == 404


def test_a_request_without_a_worker_is_refused(webserver: Webserver) -> None:
    assert webserver.get("/fleet/api/tasks", user="viewer").status_code == 422


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("nobody", 403), ("reporter", 403)])
def test_only_who_may_see_the_fleet_gets_an_answer(
    webserver: Webserver, store: redis.Redis, user: str | None, status: int
) -> None:
    answer = ask(webserver, a_worker(store), user=user)
    assert answer.status_code == status
    assert "report" not in answer.text


def test_without_the_broker_the_answer_says_so(webserver: Webserver, store: redis.Redis, broker: Redis) -> None:
    sample_fleet.report(store, airflow_members(now=Registry(store).now()))
    worker = a_worker(store)
    broker.stop()
    try:
        assert ask(webserver, worker).status_code == 503
    finally:
        broker.start()
