"""A job with a token of a provider and an IAM role each run a DAG by the REST API, through the load balancer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.staged import stage

STAGE_TIMEOUT_S = 480
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.machines.stage", tmp_path_factory.mktemp("machines"), timeout_s=STAGE_TIMEOUT_S)


def test_each_runs_a_dag_to_its_end(results: Any) -> None:
    assert (results["by_token"], results["by_aws"]) == ("success", "success")


def test_airflow_s_own_clients_run_a_dag_to_its_end_with_a_machine_s_token(results: Any) -> None:
    assert (results["by_airflowctl"], results["by_python"]) == ("success", "success")


def test_the_audit_log_names_the_machines(results: Any) -> None:
    assert results["owners"] == [
        "machine:arn:aws:iam::123456789012:role/deployer",
        *[f"machine:{results['issuer']}#repo:acme/dags:main"] * 3,  # by curl, airflowctl and the Python client
    ]


def test_who_is_not_mapped_is_named_and_refused(results: Any) -> None:
    identity = f"{results['issuer']}#repo:acme/dags:other"
    assert results["job_not_mapped"] == [403, f"no role is mapped to {identity}"]
    assert results["role_not_mapped"] == [1, True]
