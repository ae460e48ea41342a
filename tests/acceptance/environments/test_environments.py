"""One image in two environments: other settings, other rights of its pools, and a change that ends no task."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.staged import stage

STAGE_TIMEOUT_S = 900
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("environments")
    return stage("tests.acceptance.environments.stage", folder, timeout_s=STAGE_TIMEOUT_S)


def test_a_dag_reads_in_one_pool_what_it_may_not_in_another(results: Any) -> None:
    assert "read: fish" in results["logs"]["lake"]
    assert "refused: AccessDenied" in results["logs"]["worker"]
    (refusal,) = {line for line in results["refused"] if "WorkerTaskRole" in line}
    assert "s3:GetObject" in refusal
    assert "teams-lake/fish" in refusal


def test_the_same_code_has_the_settings_of_dev_and_then_those_of_qa(results: Any) -> None:
    assert (results["dev"]["instance_name"], results["qa"]["instance_name"]) == ("Airflow dev", "Airflow qa")
    assert results["dev"]["code"] == results["qa"]["code"] == results["end"]["code"]
    assert results["dev"]["code"]


def test_a_setting_of_the_service_airflow_replaces_its_tasks_and_no_others(results: Any) -> None:
    before, after = results["dev"], results["qa"]
    changed = {title for title, tasks in after["tasks"].items() if tasks != before["tasks"][title]}
    assert changed == {"Airflow"}
    assert {title for title, each in after["definitions"].items() if each != before["definitions"][title]} == changed
    assert not set(before["tasks"]["Airflow"]) & set(after["tasks"]["Airflow"])


def test_a_setting_of_tasks_reaches_new_workers_while_the_old_one_keeps_its_task(results: Any) -> None:
    before, after = results["qa"], results["later"]
    assert "retries: 3" in results["told"]["tell"]
    assert results["states"] == ["running"]
    assert set(before["tasks"]["Lake"]) & set(after["tasks"]["Lake"])  # the worker with the task
    assert before["tasks"]["Flower"] == results["end"]["tasks"]["Flower"]


def test_no_deployment_ended_the_task(results: Any) -> None:
    assert results["held"] == {"state": "success", "try_number": 1}
    assert not set(results["dev"]["tasks"]["Lake"]) & set(results["end"]["tasks"]["Lake"])


def test_a_link_leads_to_the_address_at_which_people_open_airflow(results: Any) -> None:
    (link,) = (line for line in results["told"]["tell"].splitlines() if "link:" in line)
    assert f"{results['dev']['site']}/dags/telling/" in link


def test_flower_leaves_the_running_stack_when_it_is_left_out(results: Any) -> None:
    found = results["without_flower"]
    assert found["services"] == ["AirflowService", "LakeService", "WorkerService"]
    assert [name for name in found["outputs"] if "Flower" in name] == []
    assert found["refused"] == results["refused"]
