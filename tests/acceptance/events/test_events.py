"""Events and lineage of a real run reach their receivers on the running stack with IAM; task logs are copied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from project import paths
from tests.acceptance.events.stage import TRIES
from tests.support.staged import stage

STAGE_TIMEOUT_S = 660
SCHEMA = json.loads((paths.ROOT / "docs" / "events.schema.json").read_text())
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("events")
    return stage("tests.acceptance.events.stage", folder, timeout_s=STAGE_TIMEOUT_S)


def test_a_rules_target_gets_each_end_and_each_retry_once_behind_the_start_of_the_run(results: Any) -> None:
    # An event can come twice, with the id that it had before.
    details = list({event["detail"]["id"]: event["detail"] for event in reversed(results["received"])}.values())[::-1]
    tasks = {(each["task_id"], each["try_number"], each["state"]) for each in details if "task_id" in each}
    assert results["state"] == "success"
    assert tasks >= {
        ("tried", 1, "up_for_retry"),
        ("tried", 2, "success"),
        ("forging", 1, "success"),
        ("last", 1, "success"),
    }
    runs = [each["state"] for each in details if "task_id" not in each]
    assert runs[-1] == "success"
    told = [(each.get("task_id"), each.get("try_number"), each["state"]) for each in details]
    assert "task_id" not in details[0], (
        f"the run is told before its tasks: {told}, of {[each['detail']['id'][:4] for each in results['received']]}"
    )
    assert "task_id" not in details[-1], "and its end behind them"
    assert len(set(told)) == len(told), "another id is another event"


def test_an_event_is_as_the_schema_says_and_names_its_environment(results: Any) -> None:
    validator = Draft7Validator(SCHEMA)
    for event in results["received"]:
        assert list(validator.iter_errors(event["detail"])) == []
        assert event["source"] == "airflow-on-ecs"
        assert event["detail"]["environment"] == "airflow-local"
        assert event["detail"]["url"].startswith(f"{results['site']}/dags/followed/runs/")
    assert {event["detail-type"] for event in results["received"]} == {
        "Airflow DAG Run State Change",
        "Airflow Task State Change",
    }


def test_a_task_cannot_forge_one(results: Any) -> None:
    assert "not authorized to perform: events:PutEvents" in results["logs"]["forging"]
    (refusal,) = results["refused"]
    assert "WorkerTaskRole" in refusal
    assert "forged" not in json.dumps(results["received"])


def test_each_try_of_a_task_is_in_the_container_log_of_its_worker_with_its_names(results: Any) -> None:
    assert {(each["dag_id"], each["run_id"]) for each in results["copied"]} == {("followed", results["run"])}
    ended = {(each["task_id"], each["try_number"]) for each in results["copied"] if each["message"] == "end of the log"}
    assert ended == {("tried", 1), ("tried", 2), ("forging", 1), ("last", 1)}
    failed = [each for each in results["copied"] if "the first try" in each.get("error", "")]
    assert {(each["task_id"], each["try_number"], each["level"]) for each in failed} == {("tried", 1, "error")}
    assert "tried" in results["logs"], "and the log in Airflow's UI is there as well"


def test_lineage_of_each_try_reaches_the_receiver_with_its_key(results: Any) -> None:
    told = {(each["job"]["name"], each["eventType"]) for each in results["lineage"]}
    assert told >= {
        *(("followed.tried", kind) for kind in ("START", "FAIL", "COMPLETE")),
        *((f"followed.{task}", kind) for task in ("forging", "last") for kind in ("START", "COMPLETE")),
    }
    assert {each["job"]["namespace"] for each in results["lineage"]} == {"airflow-local"}
    written = {
        (each["job"]["name"], dataset["namespace"], dataset["name"])
        for each in results["lineage"]
        for dataset in each["outputs"]
    }
    assert written == {("followed.last", "s3://shop-data", "orders.csv")}
    assert results["keys"] == ["Bearer the-key-of-the-receiver"]


def test_no_task_has_the_key_of_the_receiver(results: Any) -> None:
    assert "LINEAGE_NAMESPACE" in results["logs"]["forging"], "the task has logged its environment"
    assert "the-key-of-the-receiver" not in json.dumps(results["logs"])
    assert results["logged"] == []


def test_what_the_run_costs_is_on_the_fleet_page(results: Any) -> None:
    for period in ("Today", "30 days"):
        row, everything = (results["costs"][period][name] for name in ("followed", "all tasks"))
        assert row["tasks"] == TRIES, "each try is counted once"
        assert row["owners"] == "airflow"
        assert 0 < row["worker_s"] <= everything["worker_s"]
        assert row["usd"] == pytest.approx(everything["usd"] * row["worker_s"] / everything["worker_s"], abs=2e-4)
