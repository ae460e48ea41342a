"""The ECS control plane counts, deploys, protects and drops stopped tasks as ECS does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.aws.ecs.errors import InvalidParameter, ServiceNotActive, ServiceNotFound, TaskProtected
from local.aws.ecs.plane import STOPPED_TASKS_KEPT, Cluster
from local.aws.ecs.services import Service
from local.aws.ecs.tasks import Task

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OLD, NEW = "arn:td/w:1", "arn:td/w:2"


def _cluster(desired: int = 2) -> tuple[Cluster, Service]:
    cluster = Cluster(arn="arn:aws:ecs:r:1:cluster/c")
    request = {"serviceName": "worker", "desiredCount": desired, "taskDefinition": OLD}
    return cluster, cluster.create_service(request, now=NOW)


def _definition(arn: str = OLD) -> dict[str, Any]:
    return {
        "taskDefinitionArn": arn,
        "family": "w",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "init", "image": "i"}, {"name": "worker", "image": "i@sha256:abc"}],
    }


def _run(cluster: Cluster, service: Service, count: int = 1, *, deployment: int = 0, arn: str = OLD) -> list[Task]:
    request = {"startedBy": service.deployments[deployment].id, "group": service.group}
    return cluster.run(request, _definition(arn), count=count, now=NOW)


def _report(cluster: Cluster, task: Task, status: str, **more: Any) -> None:
    cluster.report(
        task.arn, status=status, reason=more.pop("reason", None), containers=more.pop("containers", []), now=NOW
    )


def _described(cluster: Cluster, service: Service) -> dict[str, Any]:
    return service.described(cluster.tasks_of(service))


def _counts(cluster: Cluster, service: Service) -> tuple[int, int, int]:
    described = _described(cluster, service)
    return described["desiredCount"], described["runningCount"], described["pendingCount"]


def test_counts_follow_what_tasks_reported_and_nothing_else() -> None:
    cluster, service = _cluster(desired=3)
    assert _counts(cluster, service) == (3, 0, 0)
    first, second = _run(cluster, service, 2)
    assert _counts(cluster, service) == (3, 0, 2)
    _report(cluster, first, "RUNNING")
    _report(cluster, second, "PENDING")
    assert _counts(cluster, service) == (3, 1, 1)
    _report(cluster, first, "STOPPED")
    assert _counts(cluster, service) == (3, 0, 1)


def test_a_task_of_another_service_is_not_counted() -> None:
    cluster, service = _cluster()
    cluster.run({"group": "service:other", "startedBy": service.deployments[0].id}, _definition(), count=1, now=NOW)
    assert _counts(cluster, service) == (2, 0, 0)


def test_a_deployment_is_complete_once_the_desired_count_runs() -> None:
    cluster, service = _cluster(desired=2)
    first, second = _run(cluster, service, 2)
    _report(cluster, first, "RUNNING")
    assert _described(cluster, service)["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    _report(cluster, second, "RUNNING")
    assert _described(cluster, service)["deployments"][0]["rolloutState"] == "COMPLETED"


def test_scaling_a_completed_deployment_does_not_reopen_it() -> None:
    cluster, service = _cluster(desired=1)
    _report(cluster, _run(cluster, service)[0], "RUNNING")
    cluster.update_service({"service": "worker", "desiredCount": 5}, now=NOW)
    (deployment,) = _described(cluster, service)["deployments"]
    assert (deployment["desiredCount"], deployment["rolloutState"]) == (5, "COMPLETED")


def test_a_new_task_definition_makes_a_primary_deployment_and_keeps_the_count() -> None:
    cluster, service = _cluster(desired=1)
    (old,) = _run(cluster, service)
    _report(cluster, old, "RUNNING")
    cluster.update_service({"service": service.arn, "taskDefinition": NEW}, now=NOW)
    primary, active = _described(cluster, service)["deployments"]
    assert (primary["status"], primary["taskDefinition"], primary["desiredCount"]) == ("PRIMARY", NEW, 1)
    assert (active["status"], active["taskDefinition"], active["desiredCount"]) == ("ACTIVE", OLD, 1)
    assert (primary["runningCount"], active["runningCount"]) == (0, 1)
    assert _described(cluster, service)["taskDefinition"] == NEW


def test_an_older_deployment_stays_while_a_task_of_it_lives_and_holds_the_newer_open() -> None:
    cluster, service = _cluster(desired=1)
    (old,) = _run(cluster, service)
    _report(cluster, old, "RUNNING")
    cluster.update_service({"service": "worker", "taskDefinition": NEW}, now=NOW)
    (new,) = _run(cluster, service, arn=NEW)
    _report(cluster, new, "RUNNING")
    assert [d["rolloutState"] for d in _described(cluster, service)["deployments"]] == ["IN_PROGRESS", "IN_PROGRESS"]
    cluster.stop(old.id, reason="Scaling activity initiated by (deployment)", now=NOW)
    assert [d["desiredCount"] for d in _described(cluster, service)["deployments"]] == [1, 0]
    _report(cluster, old, "STOPPED")
    (deployment,) = _described(cluster, service)["deployments"]
    assert (deployment["taskDefinition"], deployment["rolloutState"]) == (NEW, "COMPLETED")
    assert old.stop_code == "ServiceSchedulerInitiated"


@pytest.mark.parametrize(
    ("request_", "deployments"),
    [
        ({"desiredCount": 4}, 1),
        ({"deploymentConfiguration": {"maximumPercent": 150}}, 1),
        ({"taskDefinition": OLD}, 1),
        ({"taskDefinition": NEW}, 2),
        ({"forceNewDeployment": True}, 2),
        ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}, 2),
        ({"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}, 1),
    ],
)
def test_only_a_change_of_the_tasks_starts_a_deployment(request_: dict[str, Any], deployments: int) -> None:
    cluster, service = _cluster()
    _run(cluster, service)
    cluster.update_service({"service": "worker", **request_}, now=NOW)
    assert len(service.deployments) == deployments


def test_a_changed_capacity_strategy_applies_to_the_present_deployment() -> None:
    cluster, service = _cluster()
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    cluster.update_service({"service": "worker", "capacityProviderStrategy": strategy}, now=NOW)
    (deployment,) = _described(cluster, service)["deployments"]
    assert (deployment["launchType"], deployment["capacityProviderStrategy"]) == (None, strategy)
    cluster.update_service({"service": "worker", "capacityProviderStrategy": []}, now=NOW)
    assert _described(cluster, service)["deployments"][0]["launchType"] == "FARGATE"


def test_a_task_that_stops_before_it_ran_counts_as_failed() -> None:
    cluster, service = _cluster()
    failed, ran, told = _run(cluster, service, 3)
    _report(cluster, failed, "STOPPED", reason="exit 1")
    _report(cluster, ran, "RUNNING")
    _report(cluster, ran, "STOPPED")
    cluster.stop(told.id, reason=None, now=NOW)
    _report(cluster, told, "STOPPED")
    assert _described(cluster, service)["deployments"][0]["failedTasks"] == 1
    assert (failed.stop_code, failed.stopped_reason) == ("TaskFailedToStart", "exit 1")
    assert (ran.stop_code, told.stop_code) == ("EssentialContainerExited", "UserInitiated")


def _breaking(desired: int = 2) -> tuple[Cluster, Service]:
    """Return a service with a circuit breaker whose first deployment runs, and whose second one has begun."""
    cluster, service = _cluster(desired)
    service.properties["deploymentConfiguration"] = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    for task in _run(cluster, service, desired):
        _report(cluster, task, "RUNNING")
    cluster.update_service({"service": "worker", "taskDefinition": NEW}, now=NOW)
    return cluster, service


def _fail(cluster: Cluster, service: Service, count: int) -> None:
    for task in _run(cluster, service, count, arn=NEW):
        _report(cluster, task, "STOPPED")


def test_the_circuit_breaker_rolls_back_to_what_completed_last_and_shows_what_failed_until_then() -> None:
    cluster, service = _breaking()
    _fail(cluster, service, 2)
    assert [d["rolloutState"] for d in _described(cluster, service)["deployments"]] == ["IN_PROGRESS"] * 2
    _fail(cluster, service, 1)
    back, failed, first = _described(cluster, service)["deployments"]
    assert (back["status"], back["taskDefinition"], back["rolloutState"]) == ("PRIMARY", OLD, "IN_PROGRESS")
    assert (failed["taskDefinition"], failed["rolloutState"], failed["failedTasks"]) == (NEW, "FAILED", 3)
    old = [task for task in cluster.tasks_of(service) if task.started_by == first["id"]]
    for task in _run(cluster, service, 2):
        _report(cluster, task, "RUNNING")
    for task in old:
        _report(cluster, task, "STOPPED")
    (left,) = _described(cluster, service)["deployments"]
    assert (left["id"], left["rolloutState"]) == (back["id"], "COMPLETED")


def test_the_circuit_breaker_waits_for_half_of_the_desired_count() -> None:
    cluster, service = _breaking(desired=10)
    _fail(cluster, service, 4)
    assert service.properties["taskDefinition"] == NEW
    _fail(cluster, service, 1)
    assert service.properties["taskDefinition"] == OLD


def test_a_deployment_that_completed_once_is_not_failed_by_later_tasks() -> None:
    cluster, service = _cluster(desired=1)
    service.properties["deploymentConfiguration"] = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    (task,) = _run(cluster, service)
    _report(cluster, task, "RUNNING")
    _fail(cluster, service, 5)
    assert [d["rolloutState"] for d in _described(cluster, service)["deployments"]] == ["COMPLETED"]


def test_a_stopped_task_stays_stopped() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    _report(cluster, task, "STOPPED")
    _report(cluster, task, "RUNNING")
    assert (task.last_status, _counts(cluster, service)[1]) == ("STOPPED", 0)


def test_containers_report_exit_code_and_digest_of_their_own() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    changes = [{"containerName": "init", "status": "STOPPED", "exitCode": 0}, {"containerName": "unknown"}]
    _report(cluster, task, "RUNNING", containers=changes)
    init, worker = task.described()["containers"]
    assert (init["lastStatus"], init["exitCode"]) == ("STOPPED", 0)
    assert (worker["lastStatus"], worker["imageDigest"]) == ("RUNNING", "sha256:abc")


def test_stopped_tasks_are_forgotten_from_the_oldest() -> None:
    cluster, service = _cluster()
    tasks = _run(cluster, service, STOPPED_TASKS_KEPT + 3)
    (living,) = _run(cluster, service)
    for second, task in enumerate(tasks):
        now = NOW + timedelta(seconds=second)
        cluster.report(task.id, status="STOPPED", reason=None, containers=[], now=now)
    assert len(cluster.tasks) == STOPPED_TASKS_KEPT + 1
    assert not {task.id for task in tasks[:3]} & set(cluster.tasks)
    assert living.id in cluster.tasks


def test_protection_ends_by_itself() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    done, failures = cluster.protect([task.arn], enabled=True, minutes=5, now=NOW)
    assert (done, failures) == ([task], [])
    assert task.is_protected(NOW + timedelta(minutes=5) - timedelta(seconds=1))
    assert not task.is_protected(NOW + timedelta(minutes=5))


def test_protection_lasts_two_hours_by_default() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    cluster.protect([task.arn], enabled=True, minutes=None, now=NOW)
    assert task.protected_until == NOW + timedelta(minutes=120)


def test_more_protection_than_desired_is_blocked_and_changes_nothing() -> None:
    cluster, service = _cluster(desired=2)
    tasks = _run(cluster, service, 3)
    done, failures = cluster.protect([t.arn for t in tasks], enabled=True, minutes=5, now=NOW)
    assert done == tasks[:2]
    assert [(f.arn, f.reason) for f in failures] == [(tasks[2].arn, "DEPLOYMENT_BLOCKED")]
    assert not tasks[2].is_protected(NOW)


def test_a_renewal_counts_its_own_task_once() -> None:
    cluster, service = _cluster(desired=1)
    (task,) = _run(cluster, service)
    cluster.protect([task.arn], enabled=True, minutes=5, now=NOW)
    later = NOW + timedelta(minutes=4)
    assert cluster.protect([task.arn], enabled=True, minutes=5, now=later)[1] == []
    assert task.protected_until == later + timedelta(minutes=5)


def test_expired_protection_does_not_block_others() -> None:
    cluster, service = _cluster(desired=1)
    first, second = _run(cluster, service, 2)
    cluster.protect([first.arn], enabled=True, minutes=1, now=NOW)
    later = NOW + timedelta(minutes=1)
    assert cluster.protect([second.arn], enabled=True, minutes=1, now=later)[0] == [second]


def test_protection_can_be_given_up_while_too_many_tasks_are_protected() -> None:
    cluster, service = _cluster(desired=2)
    tasks = _run(cluster, service, 2)
    cluster.protect([t.arn for t in tasks], enabled=True, minutes=5, now=NOW)
    cluster.update_service({"service": "worker", "desiredCount": 0}, now=NOW)
    assert cluster.protect([tasks[0].arn], enabled=False, minutes=None, now=NOW)[0] == [tasks[0]]
    assert not tasks[0].is_protected(NOW)


def test_a_stopping_or_foreign_or_unknown_task_cannot_be_protected() -> None:
    cluster, service = _cluster()
    (stopping,) = _run(cluster, service)
    (alone,) = cluster.run({}, _definition(), count=1, now=NOW)
    cluster.stop(stopping.id, reason=None, now=NOW)
    done, failures = cluster.protect([stopping.arn, alone.arn, "none"], enabled=True, minutes=1, now=NOW)
    assert done == []
    assert {f.arn: f.reason for f in failures} == {
        stopping.arn: "TASK_NOT_VALID",
        alone.arn: "TASK_NOT_VALID",
        "none": "MISSING",
    }


def test_scaling_stops_no_task_that_has_become_protected() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    cluster.protect([task.arn], enabled=True, minutes=5, now=NOW)
    with pytest.raises(TaskProtected):
        cluster.stop(task.arn, reason="Scaling activity of service worker", now=NOW)
    assert task.wanted
    cluster.stop(task.arn, reason="Scaling activity of service worker", now=NOW + timedelta(minutes=5))
    assert not task.wanted


def test_a_person_may_stop_a_protected_task() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    cluster.protect([task.arn], enabled=True, minutes=5, now=NOW)
    cluster.stop(task.arn, reason="broken", now=NOW)
    assert (task.wanted, task.stop_code) == (False, "UserInitiated")


@pytest.mark.parametrize("minutes", [0, 2881])
def test_protection_lasts_between_a_minute_and_two_days(minutes: int) -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    with pytest.raises(InvalidParameter):
        cluster.protect([task.arn], enabled=True, minutes=minutes, now=NOW)


def test_a_deleted_service_drains_then_is_inactive() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    with pytest.raises(InvalidParameter):
        cluster.delete_service("worker", force=False, now=NOW)
    cluster.delete_service("worker", force=True, now=NOW)
    assert (service.status, task.desired_status) == ("DRAINING", "STOPPED")
    with pytest.raises(ServiceNotActive):
        cluster.update_service({"service": "worker", "desiredCount": 1}, now=NOW)
    _report(cluster, task, "STOPPED")
    assert service.status == "INACTIVE"


def test_an_unknown_name_is_refused() -> None:
    cluster, service = _cluster()
    (task,) = _run(cluster, service)
    with pytest.raises(ServiceNotFound):
        cluster.service("other")
    with pytest.raises(InvalidParameter):
        cluster.task("other")
    with pytest.raises(InvalidParameter):
        _report(cluster, task, "SLEEPING")
