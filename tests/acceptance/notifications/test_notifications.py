"""The DAGs of docs/notifications.md tell what they say, and large XComs cross pools, on the running stack with IAM."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.acceptance.notifications.stage import SENDER, TOKEN
from tests.support.staged import stage

STAGE_TIMEOUT_S = 480
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("notifications")
    return stage("tests.acceptance.notifications.stage", folder, timeout_s=STAGE_TIMEOUT_S)


def test_a_task_that_fails_sends_a_mail(results: Any) -> None:
    (mail,) = (each for each in results["mails"] if each["Subject"] == "mailing failed")
    assert (mail["From"], mail["To"]) == (SENDER, "team@example.org")
    assert f'<a href="{results["site"]}/dags/mailing/' in mail["html"]
    assert "no data" in mail["html"]


def test_a_missed_deadline_sends_a_mail(results: Any) -> None:
    (mail,) = (each for each in results["mails"] if each["Subject"] == "late is late")
    assert mail["html"].strip() == f"{results['late']} was queued more than half an hour ago."


def test_a_pool_publishes_and_another_is_refused(results: Any) -> None:
    message = results["topics"]["alerts"]
    assert message["Subject"] == "Airflow"
    assert message["Message"].startswith(f"fail of publishing failed: {results['site']}/dags/publishing/")
    (refusal,) = results["refused"]
    assert "QuietTaskRole" in refusal
    assert "sns:Publish" in refusal
    assert "not authorized to perform: sns:Publish" in results["logs"]["refused"]


def test_a_callback_of_a_dag_publishes_to_a_topic_of_the_service_airflow(results: Any) -> None:
    assert results["topics"]["dags"]["Message"] == "whole failed"


def test_slack_and_teams_get_what_they_expect(results: Any) -> None:
    slack, teams = (results["posted"][f"/{name}/{TOKEN}"] for name in ("slack", "teams"))
    assert slack["text"].startswith(f"<{results['site']}/dags/slacking/")
    assert slack["text"].endswith("|fail> of slacking failed")
    (card,) = teams["attachments"]
    assert card["content"]["body"][0]["text"].startswith(f"fail of teaming [failed]({results['site']}/dags/teaming/")


def test_a_large_xcom_crosses_from_pool_to_pool_over_the_bucket(results: Any) -> None:
    found = results["crossing"]
    assert found["state"] == "success", found["logs"]
    assert "read: 200000, last fish 199999, and one fish" in found["logs"]["read"]
    assert "[('part 1', 200000), ('part 2', 200000)]" in found["logs"]["collect"]
    assert len(found["objects"]) == 3  # of `large` and of two mapped tasks
    assert all(re.fullmatch(r"worker/[0-9a-f]{32}", name) for name in found["objects"])


def test_the_database_and_the_ui_have_where_a_large_xcom_is_and_a_small_one_itself(results: Any) -> None:
    found = results["crossing"]
    assert found["shown"]["small"] == "one fish"
    reference = found["shown"]["large"]
    name = reference["airflow_on_ecs.large_xcom"].removeprefix(f"s3://{found['bucket']}/")
    assert found["objects"][name] == reference["bytes"] > 2_000_000


def test_no_log_tells_a_webhooks_secret(results: Any) -> None:
    assert [dag for dag, log in results["logs"].items() if TOKEN in log or "a-secret" in log] == []
