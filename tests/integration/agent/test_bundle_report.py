"""The scheduler reports which versions of bundles runs use, as a real database of Airflow has them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agent.bundle_report import BundleReport, CannotRead
from fleet.bundles import Bundle, Bundles, OlderTask, VersionInUse
from fleet.registry import BUNDLES_KEY, Registry
from tests.support.airflow_database import STORING
from tests.support.airflows_python import asked, needs_airflow
from tests.support.servers import RedisServer

READ = (
    STORING
    + """
from dataclasses import asdict
from datetime import datetime, timezone
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.utils.types import DagRunType
from sqlalchemy import update
from agent.bundles_in_use import read_bundles

with DAG("d", schedule=None) as d:
    EmptyOperator(task_id="t")
stored = store(d)

def run(name, version, run_state, task_state):
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with create_session() as session:
        made = stored.create_dagrun(
            run_id=name, run_after=at, run_type=DagRunType.MANUAL, state=run_state,
            triggered_by="test", session=session,
        )
        session.flush()
        session.execute(update(DagRun).where(DagRun.run_id == name).values(bundle_version=version))
        session.execute(update(TaskInstance).where(TaskInstance.run_id == name).values(state=task_state))

answers = [[asdict(each) for each in read_bundles()]]
with create_session() as session:
    session.execute(update(DagBundleModel).values(version="new"))
run("ended", "oldest", "success", "success")
run("waits", "old", "running", "up_for_retry")
run("works", "old", "running", "running")
run("newest", "new", "running", "running")
answers.append([asdict(each) for each in read_bundles()])
with create_session() as session:
    session.execute(update(DagModel).values(bundle_version="last parsed"))
answer([*answers, [asdict(each) for each in read_bundles()]])
"""
)


@needs_airflow
@pytest.mark.slow
def test_versions_of_unfinished_runs_are_in_use_and_running_tasks_of_old_ones_are_named(tmp_path: Any) -> None:
    before, after, lagging = asked(READ, home=tmp_path)
    assert before == []  # a bundle without a version is the image's folder
    (bundle,) = after
    assert (bundle["name"], bundle["version"]) == ("dags", "new")
    assert bundle["in_use"] == [
        {"version": "new", "runs": 1, "tasks": 1},
        {"version": "old", "runs": 2, "tasks": 1},
    ]
    assert bundle["older"] == [{"dag": "d", "run": "works", "task": "t", "map_index": -1, "version": "old"}]
    # A DAG whose file is not parsed at the new version yet: its next run has the one of its last parsing.
    assert lagging[0]["in_use"] == [*bundle["in_use"], {"version": "last parsed", "runs": 0, "tasks": 0}]


@pytest.fixture
def registry(redis_server: RedisServer) -> Iterator[Registry]:
    redis_server.client.flushall()
    yield Registry(redis_server.client)
    redis_server.client.flushall()


def found(version: str) -> Bundle:
    return Bundle(
        name="dags",
        version=version,
        since=0.0,
        in_use=(VersionInUse(version="old", runs=1, tasks=1),),
        older=(OlderTask(dag="d", run="r", task="t", map_index=-1, version="old"),),
    )


def since(registry: Registry) -> float:
    bundles = registry.bundles()
    assert bundles is not None
    return bundles[0].since


def test_a_version_is_reported_since_it_was_first_seen_by_any_scheduler(registry: Registry) -> None:
    version = ["a"]

    def read() -> Bundles:
        return (found(version[0]),)

    BundleReport(registry, read, logging.getLogger()).tick()
    first = since(registry)
    assert abs(first - registry.now()) < 5
    BundleReport(registry, read, logging.getLogger()).tick()
    assert since(registry) == first
    version[0] = "b"
    BundleReport(registry, read, logging.getLogger()).tick()
    assert since(registry) > first


def test_a_database_that_is_away_renews_no_report(registry: Registry, redis_server: RedisServer) -> None:
    def away() -> Bundles:
        raise CannotRead("OperationalError")

    BundleReport(registry, away, logging.getLogger()).tick()
    assert registry.bundles() is None
    BundleReport(registry, lambda: (found("a"),), logging.getLogger()).tick()
    assert 0 < redis_server.client.ttl(BUNDLES_KEY) <= 60


def test_a_malformed_report_is_replaced(registry: Registry, redis_server: RedisServer) -> None:
    redis_server.client.set(BUNDLES_KEY, "{}")
    BundleReport(registry, lambda: (found("a"),), logging.getLogger()).tick()
    assert registry.bundles() is not None
