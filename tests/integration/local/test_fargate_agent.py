"""The agent that plays Fargate, on the real embedded AWS API, with processes of its own."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam.sessions import TASKS
from local.fargate import image
from local.fargate.agent import MOST_FAILURES, Agent
from local.fargate.network import Network
from local.fargate.task import Phase
from local.servers.relay import Relay
from project import paths
from project.clients import Clients, environment_of_role
from tests.support.aws_api import AwsApi

WAIT_S = 30.0
IMAGE = "registry.example/airflow-on-ecs:test"
ENTRYPOINT = f"""#!{sys.executable}
import http.server, json, os, sys, time
role = sys.argv[1]
if role == "fail":
    print("cannot start"); raise SystemExit(3)
if role == "sleep":
    time.sleep(600)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ["BIND_HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


class Cluster:
    """A cluster with its agent, and the verbs of the tests."""

    def __init__(self, clients: Clients, relay: Relay) -> None:
        self.clients, self.name = clients, f"c{uuid.uuid4().hex[:8]}"
        clients.ecs.create_cluster(clusterName=self.name)
        self.task_role, self.execution_role = self._role("task"), self._role("execution")
        self.allow("task", "ecs:UpdateTaskProtection")
        self.allow("execution", "secretsmanager:GetSecretValue", "logs:CreateLogStream", "logs:PutLogEvents")
        self.network = Network(relay=relay, clients=clients)
        self.deployments: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self.agent = Agent(
            clients=clients,
            cluster=self.name,
            network=self.network,
            platform=environment_of_role(clients.endpoint, clients.region),
            on_deployment=self._deployment_changed,
            on_failure=self.failures.append,
        )

    def _deployment_changed(self, *, service_arn: str, deployment: str, state: str) -> None:
        assert service_arn.endswith("/s")
        self.deployments.append((deployment, state))

    def _role(self, kind: str) -> str:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": TASKS}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        made = self.clients.iam.create_role(RoleName=f"{self.name}-{kind}", AssumeRolePolicyDocument=document)
        return str(made["Role"]["Arn"])

    def allow(self, kind: str, *actions: str) -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        role = f"{self.name}-{kind}"
        self.clients.iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document)

    def define(self, role: str, **more: Any) -> str:
        container = {"name": role, "image": IMAGE, "command": [role], "essential": True, **more}
        size = {"cpu": "256", "memory": "512", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}
        roles = {"taskRoleArn": self.task_role, "executionRoleArn": self.execution_role}
        definition = {"family": f"{self.name}-{role}", "containerDefinitions": [container], **size, **roles}
        found: str = self.clients.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
        return found

    def serve(self, definition: str, *, count: int, **more: Any) -> None:
        capacity = {} if "capacityProviderStrategy" in more else {"launchType": "FARGATE"}
        arguments = {"serviceName": "s", "taskDefinition": definition, "desiredCount": count, **capacity, **more}
        self.clients.ecs.create_service(cluster=self.name, **arguments)

    def update(self, **more: Any) -> None:
        self.clients.ecs.update_service(cluster=self.name, service="s", **more)

    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.clients.ecs.describe_services(cluster=self.name, services=["s"])["services"][0]
        return found

    def tasks(self) -> list[Any]:
        return [t for t in self.agent._tasks.values() if t.phase is Phase.RUNNING]

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, [*self.agent.events, self.service()]
            self.agent.tick()
            time.sleep(0.05)
        return found


@pytest.fixture
def cluster(api: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name in ("LOGS", "TASKS", "IMAGES"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    root = image.folder(IMAGE)
    root.mkdir(parents=True)
    (root / "VERSION").write_text("1")
    (root / "entrypoint").write_text(ENTRYPOINT)
    (root / "entrypoint").chmod(0o755)
    relay = Relay()
    made = Cluster(Clients(f"http://localhost:{api.port}", api.region), relay)
    yield made
    made.agent.close(5)
    made.network.close()
    relay.close()


class First(random.Random):
    """Chooses the first ones by ARN, where ECS's choice is arbitrary."""

    def sample(self, population: Any, k: int, **_: Any) -> list[Any]:
        return list(population[:k])


def get(address: tuple[str, int], path: str = "/", method: str = "GET", body: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path, body=body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data) if data else None


def environment_of(task: Any, container: str = "sleep") -> dict[str, str]:
    raw = Path(f"/proc/{task.containers[container].pid}/environ").read_text()
    return dict(entry.split("=", 1) for entry in raw.split("\0") if entry)


def ask(uri: str, method: str = "GET", body: str | None = None) -> tuple[int, dict[str, Any]]:
    """Send a request to the endpoint of the ECS agent."""
    host, _, path = uri.removeprefix("http://").partition("/")
    name, port = host.split(":")
    return get((name, int(port)), f"/{path}", method, body)


def protect(task: Any, *, enabled: bool = True) -> dict[str, Any]:
    body = json.dumps({"ProtectionEnabled": enabled, "ExpiresInMinutes": 5})
    return ask(f"{environment_of(task)['ECS_AGENT_URI']}/task-protection/v1/state", "PUT", body)[1]


def credentials_of(task: Any) -> dict[str, Any]:
    status, document = ask(environment_of(task)["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    assert status == 200
    return document


def test_a_service_gets_as_many_tasks_as_desired_and_ecs_knows_them(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    cluster.until(lambda: cluster.service()["runningCount"] == 2)
    assert len({t.containers["sleep"].pid for t in cluster.tasks()}) == 2
    assert cluster.service()["pendingCount"] == 0


def test_a_service_with_capacity_providers_gets_its_tasks_on_them(cluster: Cluster) -> None:
    cluster.clients.ecs.put_cluster_capacity_providers(
        cluster=cluster.name, capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    strategy = [{"capacityProvider": "FARGATE", "base": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 100}]
    cluster.serve(cluster.define("sleep"), count=2, capacityProviderStrategy=strategy)
    tasks = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    described = cluster.clients.ecs.describe_tasks(cluster=cluster.name, tasks=[task.arn for task in tasks])["tasks"]
    assert sorted(task["capacityProviderName"] for task in described) == ["FARGATE", "FARGATE_SPOT"]


def test_a_task_that_dies_is_reported_and_replaced(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=1)
    (first,) = cluster.until(cluster.tasks)
    assert cluster.agent.kill_containers("sleep") == 1
    second = cluster.until(lambda: next((t for t in cluster.tasks() if t.arn != first.arn), None))
    assert second.arn != first.arn
    stopped = cluster.clients.ecs.describe_tasks(cluster=cluster.name, tasks=[first.arn])["tasks"][0]
    assert (stopped["lastStatus"], stopped["desiredStatus"]) == ("STOPPED", "STOPPED")
    assert "exited with code 137" in stopped["stoppedReason"]


def test_a_restarted_container_keeps_its_task_and_environment(cluster: Cluster) -> None:
    secret = cluster.clients.secretsmanager.create_secret(Name=cluster.name, SecretString="first")
    definition = cluster.define(
        "sleep",
        secrets=[{"name": "PASSWORD", "valueFrom": secret["ARN"]}],
        restartPolicy={"enabled": True, "restartAttemptPeriod": 0},  # ECS requires at least 60 s
    )
    cluster.serve(definition, count=1)
    (task,) = cluster.until(cluster.tasks)
    given = cluster.until(lambda: environment_of(task))
    cluster.clients.secretsmanager.put_secret_value(SecretId=secret["ARN"], SecretString="second")
    pid = task.containers["sleep"].pid
    os.kill(pid, signal.SIGKILL)
    cluster.until(lambda: task.containers["sleep"].pid != pid and environment_of(task) == given)
    assert given["PASSWORD"] == "first"
    assert cluster.tasks() == [task]
    assert cluster.agent.events[-1].endswith("its container sleep was restarted")


def test_a_container_finds_the_credentials_of_its_task_role_and_no_others(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    first, second = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    environment = environment_of(first)
    assert [name for name in environment if name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")] == []
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    session = f"arn:aws:sts::123456789012:assumed-role/{cluster.name}-task"
    assert done.stdout.strip() == f"{session}/{first.id}"
    assert credentials_of(first)["AccessKeyId"] != credentials_of(second)["AccessKeyId"]
    address = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rpartition("/")[0]
    for guess in (second.id, first.id, ""):
        assert ask(f"{address}/{guess}")[0] == 404


def test_credentials_end_with_their_task(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=1)
    (task,) = cluster.until(cluster.tasks)
    address = environment_of(task)["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    cluster.update(desiredCount=0)
    cluster.until(lambda: not cluster.agent._tasks)
    assert ask(address)[0] == 404


def test_a_task_is_protected_only_if_its_task_role_may(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=1)
    (task,) = cluster.until(cluster.tasks)
    cluster.allow("task", "ecs:ListTasks")
    error = protect(task)["error"]
    assert error["Code"] == "AccessDeniedException"
    assert "not authorized to perform: ecs:UpdateTaskProtection" in error["Message"]


def test_a_task_gets_the_tags_that_its_service_propagates(cluster: Cluster) -> None:
    tags = [{"key": "FleetPool", "value": "worker"}]
    cluster.serve(cluster.define("sleep"), count=1, tags=tags, propagateTags="SERVICE")
    (task,) = cluster.until(cluster.tasks)
    described = cluster.clients.ecs.describe_tasks(cluster=cluster.name, tasks=[task.arn], include=["TAGS"])
    assert described["tasks"][0]["tags"] == tags


def test_the_execution_role_makes_the_log_stream(cluster: Cluster) -> None:
    group, logs = f"/{cluster.name}", cluster.clients.logs
    logs.create_log_group(logGroupName=group)
    options = {"awslogs-group": group, "awslogs-region": cluster.clients.region, "awslogs-stream-prefix": "p"}
    cluster.serve(cluster.define("sleep", logConfiguration={"logDriver": "awslogs", "options": options}), count=1)
    (task,) = cluster.until(cluster.tasks)
    (event,) = logs.get_log_events(logGroupName=group, logStreamName=f"p/sleep/{task.id}")["events"]
    assert f"logs/s/sleep-{task.id[:8]}.log in the state folder" in event["message"]


@pytest.mark.parametrize(
    ("allowed", "what"),
    [
        (("logs:CreateLogStream", "logs:PutLogEvents"), "pull secrets: AccessDeniedException"),
        (("secretsmanager:GetSecretValue",), "write to the log group: AccessDeniedException"),
    ],
)
def test_a_task_whose_execution_role_lacks_an_action_does_not_start(
    cluster: Cluster, allowed: tuple[str, ...], what: str
) -> None:
    group = f"/{cluster.name}"
    cluster.clients.logs.create_log_group(logGroupName=group)
    cluster.allow("execution", *allowed)
    secret = cluster.clients.secretsmanager.create_secret(Name=cluster.name, SecretString="s")["ARN"]
    options = {"awslogs-group": group, "awslogs-region": cluster.clients.region, "awslogs-stream-prefix": "p"}
    definition = cluster.define(
        "sleep",
        secrets=[{"name": "PASSWORD", "valueFrom": secret}],
        logConfiguration={"logDriver": "awslogs", "options": options},
    )
    cluster.serve(definition, count=1)
    cluster.until(lambda: any("stopped" in event for event in cluster.agent.events))
    (event,) = (event for event in cluster.agent.events if "stopped" in event)
    assert f"stopped: ResourceInitializationError: unable to {what}: User: " in event


def test_scale_in_spares_the_task_that_protected_itself(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=3)
    tasks = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 3 else None)
    chosen = tasks[1]
    assert protect(chosen)["protection"]["ProtectionEnabled"] is True
    cluster.update(desiredCount=1)
    cluster.until(lambda: len(cluster.agent._tasks) == 1)
    assert [t.arn for t in cluster.tasks()] == [chosen.arn]


def test_scale_in_spares_a_task_that_takes_protection_while_it_is_being_chosen(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    tasks = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    victim = min(tasks, key=lambda task: task.arn)
    late: list[dict[str, Any]] = []

    def protect_too_late(**_: Any) -> None:
        if not late:
            late.append(protect(victim))  # after ECS was asked who is protected, before a task is stopped

    cluster.clients.ecs.meta.events.register("after-call.ecs.GetTaskProtection", protect_too_late)
    cluster.agent._rng = First()
    cluster.update(desiredCount=1)
    cluster.until(lambda: late)
    assert late[0]["protection"]["ProtectionEnabled"] is True
    cluster.until(lambda: len(cluster.agent._tasks) == 1)
    assert [t.arn for t in cluster.tasks()] == [victim.arn]


def test_protection_beyond_desired_is_refused_as_by_ecs(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    first, second = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    protect(first)
    cluster.update(desiredCount=1)
    assert protect(second)["failure"]["Reason"] == "DEPLOYMENT_BLOCKED"
    assert protect(first, enabled=False)["protection"]["ProtectionEnabled"] is False


def test_a_rolling_deployment_replaces_only_unprotected_tasks(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    busy, idle = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    protect(busy)
    cluster.update(taskDefinition=cluster.define("sleep"))
    cluster.until(lambda: idle.arn not in cluster.agent._tasks)
    assert busy.phase is Phase.RUNNING
    assert {d["status"] for d in cluster.service()["deployments"]} == {"PRIMARY", "ACTIVE"}
    protect(busy, enabled=False)
    cluster.until(lambda: len(cluster.service()["deployments"]) == 1 and cluster.service()["runningCount"] == 2)
    assert busy.arn not in cluster.agent._tasks
    assert [state for _, state in cluster.deployments][-2:] == ["IN_PROGRESS", "COMPLETED"]


def test_a_deployment_that_fails_leaves_the_old_tasks_and_what_comes_after_it_starts_at_once(cluster: Cluster) -> None:
    good = cluster.define("sleep")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    cluster.serve(good, count=1, deploymentConfiguration=breaker)
    (old,) = cluster.until(lambda: cluster.tasks() if cluster.service()["runningCount"] == 1 else None)
    protect(old)
    cluster.update(taskDefinition=cluster.define("fail"))
    cluster.until(lambda: sum("stopped: container fail" in event for event in cluster.agent.events) >= MOST_FAILURES)
    assert (cluster.failures, old.phase) == ([], Phase.RUNNING)
    cluster.update(taskDefinition=good)
    cluster.until(lambda: len(cluster.tasks()) == 2)


def listen(cluster: Cluster, *, vpc: str, forward_to: str) -> None:
    """Make a load balancer with a listener that forwards everything but `/hidden`."""
    subnet = cluster.clients.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    balancers = cluster.clients.elbv2
    balancer = balancers.create_load_balancer(Name=cluster.name, Subnets=[subnet])["LoadBalancers"][0]
    forward = {"Type": "forward", "TargetGroupArn": forward_to}
    listener = balancers.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Port=80, Protocol="HTTP", DefaultActions=[forward]
    )["Listeners"][0]["ListenerArn"]
    hidden = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/hidden"]}}
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}
    balancers.create_rule(ListenerArn=listener, Priority=1, Conditions=[hidden], Actions=[answer])


def test_a_container_gets_its_environment_secrets_and_own_port(cluster: Cluster) -> None:
    secret = cluster.clients.secretsmanager.create_secret(Name=cluster.name, SecretString='{"password": "p,:/@ ä"}')
    definition = cluster.define(
        "serve",
        environment=[
            {"name": "PORT", "value": "8080"},
            {"name": "PLAIN", "value": "x"},
            {"name": "BASE_URL", "value": "https://airflow.example.com"},
        ],
        secrets=[{"name": "DATABASE_PASSWORD", "valueFrom": f"{secret['ARN']}:password::"}],
        portMappings=[{"containerPort": 8080}],
    )
    vpc = cluster.clients.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = cluster.clients.elbv2.create_target_group(
        Name=cluster.name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", HealthCheckPath="/up"
    )["TargetGroups"][0]["TargetGroupArn"]
    listen(cluster, vpc=vpc, forward_to=group)
    balancer = {"targetGroupArn": group, "containerName": "serve", "containerPort": 8080}
    cluster.serve(definition, count=1, loadBalancers=[balancer])
    cluster.until(lambda: cluster.network.healthy("s", 8080))
    address = cluster.network.address("s", 8080)
    assert address is not None
    status, seen = get(address)
    assert status == 200
    assert get(address, "/hidden")[0] == 403
    assert (seen["PLAIN"], seen["DATABASE_PASSWORD"]) == ("x", "p,:/@ ä")
    assert ip_address(seen["BIND_HOST"]).is_loopback
    assert seen["PORT"] not in ("8080", str(address[1]))
    assert seen["BASE_URL"] == "http://{}:{}".format(*address)  # the site behind the default port
    assert seen["IMAGE_VERSION"] == "1"
    metadata = seen["ECS_CONTAINER_METADATA_URI_V4"].removeprefix("http://127.0.0.1:")
    port, _, path = metadata.partition("/")
    _, task = get(("127.0.0.1", int(port)), f"/{path}/task")
    assert task["TaskARN"] == cluster.tasks()[0].arn

    cluster.update(desiredCount=0)
    cluster.until(lambda: not cluster.agent._tasks)
    assert get(address)[0] == 503


@pytest.mark.parametrize("taken", [False, True])
def test_a_listener_has_the_container_s_port_unless_it_is_taken(cluster: Cluster, taken: bool) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        port = occupant.getsockname()[1]
        if taken:
            occupant.listen()
        else:
            occupant.close()
        cluster.network._frontend("s", port)
        address = cluster.network.address("s", port)
    assert address is not None
    assert (address[1] == port) is not taken


def test_the_agent_reports_a_service_that_cannot_start_with_its_reason(cluster: Cluster) -> None:
    cluster.serve(cluster.define("fail"), count=1)
    cluster.until(lambda: cluster.failures)
    assert cluster.failures == ["service s is unable to start tasks: container fail exited with code 3: cannot start"]


def test_an_image_that_was_not_built_is_named(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep", image="elsewhere:1"), count=1)
    cluster.until(lambda: cluster.failures)
    assert cluster.failures == ["image elsewhere:1 was not built on this machine"]


def test_a_task_stopped_through_the_api_ends_and_is_replaced(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=1)
    (first,) = cluster.until(cluster.tasks)
    cluster.clients.ecs.stop_task(cluster=cluster.name, task=first.arn, reason="operator")
    cluster.until(lambda: cluster.tasks() and cluster.tasks()[0].arn != first.arn)
    assert first.phase is Phase.STOPPED


def test_the_tasks_of_a_deleted_service_end(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=1)
    cluster.until(cluster.tasks)
    cluster.clients.ecs.delete_service(cluster=cluster.name, service="s", force=True)
    cluster.until(lambda: not cluster.agent._tasks)


def test_close_leaves_no_process_and_no_listener(cluster: Cluster) -> None:
    cluster.serve(cluster.define("sleep"), count=2)
    tasks = cluster.until(lambda: cluster.tasks() if len(cluster.tasks()) == 2 else None)
    port = int(environment_of(tasks[0])["ECS_AGENT_URI"].split(":")[2].split("/")[0])
    pids = [t.containers["sleep"].pid for t in tasks]
    cluster.agent.close(5)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass


class Alone:
    """A task that belongs to no service, as a schedule starts it."""

    def __init__(self, cluster: Cluster, role: str, **overrides: Any) -> None:
        self._cluster = cluster
        overridden = {"containerOverrides": [{"name": role, **overrides}]}
        answer = cluster.clients.ecs.run_task(
            cluster=cluster.name, taskDefinition=cluster.define(role), launchType="FARGATE", overrides=overridden
        )
        self.arn = str(answer["tasks"][0]["taskArn"])

    def described(self) -> dict[str, Any]:
        (found,) = self._cluster.clients.ecs.describe_tasks(cluster=self._cluster.name, tasks=[self.arn])["tasks"]
        return dict(found)

    def ticked(self, status: str) -> dict[str, Any]:
        """Tick until it has this status."""
        deadline = time.monotonic() + WAIT_S
        while (found := self.described())["lastStatus"] != status:
            assert time.monotonic() < deadline, found
            self._cluster.agent.tick()
            time.sleep(0.05)
        return found


def test_a_task_of_no_service_runs_once_with_the_variables_of_the_call(cluster: Cluster) -> None:
    alone = Alone(cluster, "sleep", environment=[{"name": "GIVEN", "value": "here"}])
    alone.ticked("RUNNING")
    (task,) = cluster.tasks()
    assert environment_of(task)["GIVEN"] == "here"
    cluster.clients.ecs.stop_task(cluster=cluster.name, task=alone.arn, reason="enough")
    assert alone.ticked("STOPPED")["stoppedReason"] == "enough"
    for _ in range(3):
        cluster.agent.tick()
    assert cluster.tasks() == []


def test_a_task_of_no_service_that_fails_tells_its_exit_code_and_is_no_failure_of_the_stack(cluster: Cluster) -> None:
    for _ in range(MOST_FAILURES):
        stopped = Alone(cluster, "fail").ticked("STOPPED")
        assert [container["exitCode"] for container in stopped["containers"]] == [3]
        assert "cannot start" in stopped["stoppedReason"]
    assert cluster.failures == []
