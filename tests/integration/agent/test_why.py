"""Why a task waits or died, as the webserver answers it: Airflow's database and FAB, a real Redis, real DAGs in it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis

from bench.micro.page.sample_fleet import a_member, report
from bench.micro.page.webserver import Webserver
from fleet import registry
from fleet.ends import MEMORY, End
from fleet.registry import Registry
from tests.support.airflow_stories import RUN

GIB = 2**30


pytestmark = pytest.mark.usefixtures("stories", "fleet")


@pytest.fixture
def fleet(store: redis.Redis) -> Registry:
    """Make a fleet with one busy worker, a scheduler and a decision; return its registry."""
    found = Registry(store)
    now = found.now()
    busy = a_member(1, now=now, slots=4, active=4, declared_slots=4, host="10.0.1.9")
    report(store, [busy, a_member(2, role="scheduler", now=now), a_member(3, role="webserver", now=now)])
    memory = {registry.LAUNCHES: [[now - 41, 1]], registry.BOOTS_TOOK: [60.0, 62.0, 70.0]}
    store.set(registry.scaler_key("worker"), json.dumps(memory))
    texts: dict[str, list[str]] = {name: [] for name in ("drain", "recall", "unreadable", "problems")}
    found.record_decision("worker", {"t": now - 3, "reason": "2 tasks wait for a slot; need 2", "desired": 2, **texts})
    return found


def ask(webserver: Webserver, dag: str, task: str, run: str = RUN, *, user: str | None = "viewer") -> httpx.Response:
    return webserver.get(f"/fleet/api/why/{dag}/{quote(run, safe='')}/{task}", user=user)


def story(webserver: Webserver, dag: str, task: str, run: str = RUN, *, user: str = "viewer") -> dict[str, Any]:
    answer = ask(webserver, dag, task, run, user=user)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("dag", "task", "run", "cause", "words"),
    [
        ("report", "first", RUN, "running", "Runs on worker `6b86b273`"),
        ("report", "second", RUN, "upstream", "waits for `first` to succeed."),
        ("report", "third", RUN, "no_triggerer", "for `WaitForTheFile`, which no triggerer has taken up yet"),
        ("report", "first", "died", "own", "its own code failed after 20 s"),
        ("report", "second", "died", "upstream_failed", "`first` failed"),
        ("report", "third", "died", "booting", "all 4 slots of 1 worker are taken; a worker has been starting for"),
        (
            "report",
            "second",
            "pool",
            "pool_full",
            "all 2 slots of the pool `etl` are taken by `secret` (2), the longest",
        ),
        ("report", "first", "retry", "retry", "Try 1 of 3 has failed: its own code failed after 4 s. Waits 5 min"),
        ("past", "second", RUN, "depends_on_past", "the same task of the run before has not succeeded"),
        (
            "many",
            "first",
            RUN,
            "max_active_runs",
            "the DAG `many` has 1 active run, and its `max_active_runs` allows 1",
        ),
    ],
)
def test_what_the_database_and_the_fleet_say_becomes_a_story(
    webserver: Webserver, dag: str, task: str, run: str, cause: str, words: str
) -> None:
    found = story(webserver, dag, task, run)
    assert found["cause"] == cause, found
    assert words in found["text"]


def test_a_queued_task_has_its_place_and_the_boot_its_usual_time(webserver: Webserver) -> None:
    found = story(webserver, "report", "third", "died")
    texts = [line["text"] for line in found["lines"]]
    assert "a boot usually takes 62 s" in found["text"]
    assert "1 task is before it in the queue `default`, of 2 that wait." in texts
    assert "The autoscaler: 2 tasks wait for a slot; need 2." in texts


def test_a_recorded_end_is_told_and_that_of_another_pool_is_not(
    webserver: Webserver, stories: dict[str, str], fleet: Registry
) -> None:
    end = End(
        instance=stories["report.died.first"], try_number=1, t=time.time(), how=MEMORY, worker="abc/worker", held=GIB
    )
    fleet.record_end("heavy", end)
    assert story(webserver, "report", "first", "died")["cause"] == "own"
    fleet.record_end("worker", end)
    assert story(webserver, "report", "first", "died")["cause"] == "memory"


def test_a_reader_of_one_dag_learns_no_other_dags_name(webserver: Webserver) -> None:
    assert "`secret`" in story(webserver, "report", "second", "pool", user="viewer")["text"]
    told = story(webserver, "report", "second", "pool", user="reporter")
    assert "taken by other DAGs" in told["text"]
    assert "secret" not in json.dumps(told)
    assert ask(webserver, "secret", "first", user="reporter").status_code == 403


@pytest.mark.parametrize(
    ("user", "dag", "task", "status"),
    [
        (None, "report", "first", 401),
        ("nobody", "report", "first", 403),
        ("viewer", "report", "first", 200),
        ("viewer", "report", "absent", 404),
        ("viewer", "absent", "first", 404),
        ("reporter", "~", "first", 404),
    ],
)
def test_only_who_may_see_the_task_instance_gets_an_answer(
    webserver: Webserver, user: str | None, dag: str, task: str, status: int
) -> None:
    assert ask(webserver, dag, task, user=user).status_code == status


def test_another_dag_in_the_query_opens_nothing(webserver: Webserver) -> None:
    path = f"/fleet/api/why/secret/{quote(RUN, safe='')}/first?dag_id=report"
    assert webserver.get(path, user="reporter").status_code == 403


def test_a_story_is_told_without_the_broker_and_says_so(webserver: Webserver, store: redis.Redis) -> None:
    store.delete(registry.MEMBERS_KEY)
    store.set(registry.MEMBERS_KEY, "no sorted set, so that Redis refuses to read it")
    found = story(webserver, "report", "third", "died")
    assert found["cause"] == "fleet_unknown"
    assert "the broker does not answer" in found["text"]


def test_a_question_changes_nothing_in_the_database(webserver: Webserver) -> None:
    before = _contents(webserver)
    for task, run in (("second", RUN), ("first", "retry"), ("second", "pool"), ("second", "died")):
        story(webserver, "report", task, run)
    story(webserver, "past", "second")
    assert _contents(webserver) == before


def _contents(webserver: Webserver) -> dict[str, list[Any]]:
    tables = ("task_instance", "task_instance_history", "dag_run", "xcom", "log", "task_reschedule")
    with contextlib.closing(sqlite3.connect(webserver.log.parent / "airflow.db")) as database:
        return {name: database.execute(f"select * from {name}").fetchall() for name in tables}  # noqa: S608


def test_a_task_that_someone_set_to_failed_says_so(webserver: Webserver) -> None:
    path = "/api/v2/dags/many/dagRuns/before/taskInstances/first"
    headers = {"Authorization": f"Bearer {webserver.token('op')}"}
    answer = httpx.patch(webserver.url + path, json={"new_state": "failed"}, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    found = story(webserver, "many", "first", "before")
    assert found["cause"] == "by_hand", found
