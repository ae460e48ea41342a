"""The ECS API as the agent that plays Fargate, the autoscaler and the version check use it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_api import AwsApi

CONTAINER = {
    "name": "worker",
    "image": "repository/airflow:1.0",
    "essential": True,
    "command": ["worker"],
    "environment": [{"name": "POOL", "value": "worker"}],
    "secrets": [{"name": "BROKER_PASSWORD", "valueFrom": "arn:aws:secretsmanager:r:1:secret:b:password::"}],
    "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}],
    "healthCheck": {"command": ["CMD", "true"], "interval": 10, "timeout": 5, "retries": 3, "startPeriod": 60},
    "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp", "name": "http"}],
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-stream-prefix": "p"}},
    "stopTimeout": 120,
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
    "linuxParameters": {"initProcessEnabled": True},
    "readonlyRootFilesystem": True,
    "user": "50000",
    "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
}
SERVICE = {
    "loadBalancers": [{"targetGroupArn": "arn:tg", "containerName": "worker", "containerPort": 8080}],
    "serviceRegistries": [{"registryArn": "arn:sd", "containerName": "worker"}],
    "networkConfiguration": {
        "awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    },
    "healthCheckGracePeriodSeconds": 120,
    "enableExecuteCommand": True,
    "propagateTags": "SERVICE",
    "platformVersion": "1.4.0",
}


@pytest.fixture
def ecs(api: AwsApi, request: pytest.FixtureRequest) -> Any:
    """Return the client; its default_cluster is the test's own cluster."""
    client = api.client("ecs")
    client.default_cluster = client.create_cluster(clusterName=f"c{abs(hash(request.node.name))}")["cluster"][
        "clusterName"
    ]
    return client


def _define(ecs: Any) -> str:
    answer = ecs.register_task_definition(
        family="worker",
        containerDefinitions=[{**CONTAINER, "name": "migrate", "essential": False, "dependsOn": []}, CONTAINER],
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="1024",
        memory="2048",
        runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        ephemeralStorage={"sizeInGiB": 30},
        taskRoleArn="arn:aws:iam::1:role/task",
        executionRoleArn="arn:aws:iam::1:role/execution",
    )
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def _serve(ecs: Any, desired: int = 1, **more: Any) -> dict[str, Any]:
    service: dict[str, Any] = ecs.create_service(
        cluster=ecs.default_cluster,
        serviceName="worker",
        taskDefinition=_define(ecs),
        desiredCount=desired,
        launchType="FARGATE",
        tags=[{"key": "team", "value": "data"}],
        **{**SERVICE, **more},
    )["service"]
    return service


SPREAD = [
    {"capacityProvider": "FARGATE", "base": 1, "weight": 0},
    {"capacityProvider": "FARGATE_SPOT", "base": 0, "weight": 100},
]


def _run(ecs: Any, service: dict[str, Any], count: int = 1) -> list[str]:
    answer = ecs.run_task(
        cluster=ecs.default_cluster,
        taskDefinition=service["taskDefinition"],
        startedBy=service["deployments"][0]["id"],
        group=f"service:{service['serviceName']}",
        networkConfiguration=service["networkConfiguration"],
        launchType="FARGATE",
        count=count,
    )
    assert answer["failures"] == []
    return [task["taskArn"] for task in answer["tasks"]]


def _describe(ecs: Any, **more: Any) -> dict[str, Any]:
    answer = ecs.describe_services(cluster=ecs.default_cluster, services=["worker"], **more)
    return dict(answer["services"][0])


def test_a_task_definition_comes_back_as_it_went_in(ecs: Any) -> None:
    described = ecs.describe_task_definition(taskDefinition=_define(ecs))["taskDefinition"]
    container = described["containerDefinitions"][1]
    assert {name: container[name] for name in CONTAINER} == CONTAINER
    assert described["runtimePlatform"] == {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}
    assert described["ephemeralStorage"] == {"sizeInGiB": 30}
    assert (described["cpu"], described["memory"]) == ("1024", "2048")


def test_a_service_comes_back_as_it_went_in(ecs: Any) -> None:
    _serve(ecs, deploymentConfiguration={"maximumPercent": 150, "minimumHealthyPercent": 50})
    described = _describe(ecs, include=["TAGS"])
    assert {name: described[name] for name in SERVICE} == SERVICE
    assert described["tags"] == [{"key": "team", "value": "data"}]
    configuration = described["deploymentConfiguration"]
    assert (configuration["maximumPercent"], configuration["minimumHealthyPercent"]) == (150, 50)
    assert "tags" not in _describe(ecs)


def test_a_family_is_its_latest_active_revision_when_a_service_is_created_or_updated(ecs: Any) -> None:
    family = f"f{ecs.default_cluster}"

    def register() -> str:
        container = {**CONTAINER, "memory": 512}
        answer = ecs.register_task_definition(family=family, containerDefinitions=[container])
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def update(**change: Any) -> str:
        answer = ecs.update_service(cluster=ecs.default_cluster, service="worker", **change)
        return str(answer["service"]["taskDefinition"])

    first = register()
    made = ecs.create_service(cluster=ecs.default_cluster, serviceName="worker", taskDefinition=family)["service"]
    second, third = register(), register()
    assert made["taskDefinition"] == first
    assert update(desiredCount=0) == first
    assert update(taskDefinition=second) == second
    ecs.deregister_task_definition(taskDefinition=third)
    assert update(taskDefinition=family) == second
    with pytest.raises(ClientError, match="inactive"):
        update(taskDefinition=third)
    ecs.deregister_task_definition(taskDefinition=second)
    assert update(taskDefinition=second) == second  # a service keeps what it has


def test_a_service_with_capacity_providers_needs_them_in_its_cluster_and_no_launch_type(ecs: Any) -> None:
    request = {"serviceName": "spread", "taskDefinition": _define(ecs), "capacityProviderStrategy": SPREAD}
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="not associated"):
        ecs.create_service(cluster=ecs.default_cluster, **request)
    ecs.put_cluster_capacity_providers(
        cluster=ecs.default_cluster, capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="both"):
        ecs.create_service(cluster=ecs.default_cluster, launchType="FARGATE", **request)
    service = ecs.create_service(cluster=ecs.default_cluster, desiredCount=3, **request)["service"]
    assert "launchType" not in service
    assert service["capacityProviderStrategy"] == service["deployments"][0]["capacityProviderStrategy"] == SPREAD
    tasks = ecs.run_task(
        cluster=ecs.default_cluster,
        taskDefinition=service["taskDefinition"],
        group="service:spread",
        capacityProviderStrategy=SPREAD,
        count=3,
    )["tasks"]
    assert [task["capacityProviderName"] for task in tasks] == ["FARGATE", "FARGATE_SPOT", "FARGATE_SPOT"]


def test_a_task_keeps_its_status_until_the_agent_reports(ecs: Any) -> None:
    service = _serve(ecs, desired=1)
    (arn,) = _run(ecs, service)
    for _ in range(5):  # moto's own tasks would advance with each read
        (task,) = ecs.describe_tasks(cluster=ecs.default_cluster, tasks=[arn])["tasks"]
        assert (task["lastStatus"], task["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    assert (_describe(ecs)["runningCount"], _describe(ecs)["pendingCount"]) == (0, 1)
    ecs.submit_task_state_change(cluster=ecs.default_cluster, task=arn, status="RUNNING")
    assert (_describe(ecs)["runningCount"], _describe(ecs)["pendingCount"]) == (1, 0)


def test_a_service_is_stable_once_the_new_deployments_tasks_run_alone(ecs: Any) -> None:
    service = _serve(ecs, desired=1)
    (old,) = _run(ecs, service)
    ecs.submit_task_state_change(cluster=ecs.default_cluster, task=old, status="RUNNING")
    service = ecs.update_service(cluster=ecs.default_cluster, service="worker", forceNewDeployment=True)["service"]
    assert [d["status"] for d in service["deployments"]] == ["PRIMARY", "ACTIVE"]
    (new,) = _run(ecs, service)
    ecs.submit_task_state_change(cluster=ecs.default_cluster, task=new, status="RUNNING")
    ecs.stop_task(cluster=ecs.default_cluster, task=old, reason="Scaling activity initiated by a deployment")
    assert ecs.list_tasks(cluster=ecs.default_cluster, serviceName="worker")["taskArns"] == [new]
    stopping = ecs.list_tasks(cluster=ecs.default_cluster, serviceName="worker", desiredStatus="STOPPED")["taskArns"]
    assert stopping == [old]
    ecs.submit_task_state_change(cluster=ecs.default_cluster, task=old, status="STOPPED", reason="done")
    ecs.get_waiter("services_stable").wait(
        cluster=ecs.default_cluster, services=["worker"], WaiterConfig={"Delay": 1, "MaxAttempts": 1}
    )
    assert [d["rolloutState"] for d in _describe(ecs)["deployments"]] == ["COMPLETED"]


def test_a_request_for_protection_is_answered_as_by_ecs(ecs: Any) -> None:
    tasks = _run(ecs, _serve(ecs, desired=1), 2)
    answer = ecs.update_task_protection(
        cluster=ecs.default_cluster, tasks=tasks, protectionEnabled=True, expiresInMinutes=5
    )
    (protected,) = answer["protectedTasks"]
    assert (protected["taskArn"], protected["protectionEnabled"]) == (tasks[0], True)
    assert [(failure["arn"], failure["reason"]) for failure in answer["failures"]] == [(tasks[1], "DEPLOYMENT_BLOCKED")]
    states = ecs.get_task_protection(cluster=ecs.default_cluster, tasks=tasks)["protectedTasks"]
    assert [(s["protectionEnabled"], "expirationDate" in s) for s in states] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("update_task_protection", {"tasks": ["t"] * 11, "protectionEnabled": True}),
        ("get_task_protection", {"tasks": ["t"] * 101}),
        ("describe_tasks", {"tasks": ["t"] * 101}),
        ("describe_services", {"services": ["s"] * 11}),
        ("submit_task_state_change", {"task": "unknown", "status": "RUNNING"}),
    ],
)
def test_limits_and_unknown_tasks_are_invalid_parameters(ecs: Any, operation: str, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refusal:
        getattr(ecs, operation)(cluster=ecs.default_cluster, **request_)
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"


def test_unknown_clusters_and_services_have_the_errors_of_ecs(ecs: Any) -> None:
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.list_tasks(cluster="nowhere")
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.update_service(cluster=ecs.default_cluster, service="unknown", desiredCount=1)
    (failure,) = ecs.describe_services(cluster=ecs.default_cluster, services=["unknown"])["failures"]
    assert failure["reason"] == "MISSING"


def test_lists_are_paged(ecs: Any) -> None:
    tasks = _run(ecs, _serve(ecs, desired=5), 5)
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster=ecs.default_cluster, serviceName="worker", PaginationConfig={"PageSize": 2}
    )
    assert [page["taskArns"] for page in pages] == [tasks[:2], tasks[2:4], tasks[4:]]


def test_containers_carry_the_digest_that_the_agent_reported(ecs: Any) -> None:
    (arn,) = _run(ecs, _serve(ecs))
    ecs.submit_task_state_change(
        cluster=ecs.default_cluster,
        task=arn,
        status="RUNNING",
        containers=[{"containerName": "worker", "imageDigest": "sha256:feed", "status": "RUNNING"}],
    )
    (task,) = ecs.describe_tasks(cluster=ecs.default_cluster, tasks=[arn])["tasks"]
    migrate, worker = task["containers"]
    assert worker["imageDigest"] == "sha256:feed"
    assert migrate["imageDigest"].startswith("sha256:")
    assert (task["group"], task["taskDefinitionArn"]) == ("service:worker", _describe(ecs)["taskDefinition"])


def test_a_clusters_counts_are_those_of_its_tasks(ecs: Any) -> None:
    first, _ = _run(ecs, _serve(ecs, desired=2), 2)
    ecs.submit_task_state_change(cluster=ecs.default_cluster, task=first, status="RUNNING")
    (cluster,) = ecs.describe_clusters(clusters=[ecs.default_cluster])["clusters"]
    counts = (cluster["runningTasksCount"], cluster["pendingTasksCount"], cluster["activeServicesCount"])
    assert counts == (1, 1, 1)
