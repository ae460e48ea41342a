"""The deployment lifecycle hook's answers."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from fleet.registry import CONSUMING, RUNNING, STARTING, Member
from shared import aws
from shared.broker import Broker
from shared.settings import BrokerSettings
from version_check import hook
from version_check.compare import Container
from version_check.hook import FAILED, IN_PROGRESS, LIMIT_S, SUCCEEDED, Wiring, containers_of_revision, judge

NEW = {"image_version": "2.0", "dags_hash": "abc", "airflow_version": "3.4.0"}
DETAILS = {
    "serviceArn": "arn:aws:ecs:eu-central-1:1:service/c/s",
    "targetServiceRevisionArn": "arn:aws:ecs:eu-central-1:1:service-revision/c/s/9",
}
EVENT = {
    "executionId": "e",
    "lifecycleStage": "POST_SCALE_UP",
    "resourceArn": "arn:aws:ecs:eu-central-1:1:service-deployment/c/s/d",
    "executionDetails": DETAILS,
}


def member(name: str, **other: Any) -> Member:
    role = name.partition("/")[2]
    values = {**NEW, "state": CONSUMING if role == "worker" else RUNNING, **other}
    return Member(
        id=name,
        role=role,
        pool=None,
        slots=0,
        active=0,
        protected=False,
        started_at=0.0,
        task_arn="",
        container=role,
        queues=(),
        **values,
    )


def container(name: str, digest: str = "sha256:2") -> Container:
    return Container(member=name, role=name.partition("/")[2], image="i", digest=digest, started_at=0.0)


WORKERS = (container("n1/worker"), container("n2/worker"))
REPORTED = (member("n1/worker"), member("n2/worker"), member("w/webserver"), member("o1/worker", image_version="1.0"))


def test_new_tasks_that_run_one_code_succeed_whatever_the_old_ones_run() -> None:
    assert judge(WORKERS, REPORTED, desired=2)[0] == SUCCEEDED


def test_a_new_task_that_has_not_reported_is_waited_for() -> None:
    assert judge(WORKERS, REPORTED[1:], desired=2) == (IN_PROGRESS, "have not reported: n1/worker")


def test_new_tasks_of_different_code_fail() -> None:
    members = (member("n1/worker", dags_hash="other"), *REPORTED[1:])
    assert judge(WORKERS, members, desired=2)[0] == FAILED


def test_new_tasks_of_different_images_fail_before_they_report() -> None:
    assert judge((WORKERS[0], container("n2/worker", "sha256:1")), (), desired=2)[0] == FAILED


def test_code_that_is_not_known_is_waited_for() -> None:
    members = tuple(replace(each, dags_hash="") for each in REPORTED)
    assert judge(WORKERS, members, desired=2)[0] == IN_PROGRESS


def test_workers_that_are_newer_than_every_webserver_are_waited_for() -> None:
    waiting = (replace(REPORTED[0], state=STARTING), replace(REPORTED[1], state=STARTING))
    old, new = member("o/webserver", airflow_version="3.3.2"), member("w/webserver")
    assert judge(WORKERS, (*waiting, old), desired=2)[0] == IN_PROGRESS
    assert judge(WORKERS, (*waiting, old, new), desired=2)[0] == SUCCEEDED


@pytest.mark.parametrize(("desired", "status"), [(0, SUCCEEDED), (1, IN_PROGRESS)])
def test_a_service_without_tasks_is_done_only_when_none_is_desired(desired: int, status: str) -> None:
    assert judge((), REPORTED, desired=desired)[0] == status


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A client whose every call must be the next one scripted; the hook has no Redis."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    where = BrokerSettings(host="127.0.0.1", port=1, tls=False, secret_arn="-")
    with Stubber(aws.client("ecs")) as stubber:
        parts = Wiring(cluster="c", broker=Broker(where, read_password=lambda: ""), ecs=stubber.client)
        monkeypatch.setattr(hook, "wiring", lambda: parts)
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(("waited_s", "status"), [(0.0, IN_PROGRESS), (LIMIT_S, FAILED)])
def test_what_cannot_be_read_is_waited_for_until_a_limit(
    ecs: Stubber, waited_s: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecs.add_client_error("describe_services", service_error_code="ThrottlingException")
    monkeypatch.setattr("time.time", lambda: 1000.0 + waited_s)
    answer = hook.handler({**EVENT, "hookDetails": {"since": 1000.0}}, None)
    assert answer == {"hookStatus": status, "callBackDelay": 15, "hookDetails": {"since": 1000.0}}


def test_the_first_answer_begins_the_wait(ecs: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    ecs.add_client_error("describe_services", service_error_code="ThrottlingException")
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert hook.handler(EVENT, None)["hookDetails"] == {"since": 1000.0}


def test_only_tasks_of_the_revision_that_is_deployed_are_asked_for(ecs: Stubber) -> None:
    service, revision = DETAILS["serviceArn"], DETAILS["targetServiceRevisionArn"]
    revisions = {"serviceRevisions": [{"taskDefinition": "worker:2"}]}
    ecs.add_response("describe_service_revisions", revisions, {"serviceRevisionArns": [revision]})
    ecs.add_response("list_tasks", {"taskArns": ["t/n1", "t/o1"]}, {"cluster": "c", "serviceName": service})
    tasks = [
        {
            "taskArn": f"t/{name}",
            "taskDefinitionArn": definition,
            "lastStatus": "RUNNING",
            "startedAt": datetime.now(UTC),
            "containers": [{"name": "worker", "lastStatus": "RUNNING", "imageDigest": "sha256:2"}],
        }
        for name, definition in (("n1", "worker:2"), ("o1", "worker:1"))
    ]
    ecs.add_response("describe_tasks", {"tasks": tasks}, {"cluster": "c", "tasks": ["t/n1", "t/o1"]})
    found = containers_of_revision(ecs.client, cluster="c", service=service, revision=revision)
    assert [each.member for each in found] == ["n1/worker"]
