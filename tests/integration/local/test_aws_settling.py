"""An update waits until ECS has replaced a service's tasks, for a limited time, and is rolled back otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.waiting import eventually, stays

LIMIT_S = 20  # of which the update takes all, and its rollback a part
PATIENCE_S = 60.0
BROKEN = "broken:1"
TEMPLATE = """
Parameters:
  Image: {Type: String, Default: 'i:1'}
Resources:
  Cluster: {Type: AWS::ECS::Cluster}
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Cpu: 256
      Memory: 512
      NetworkMode: awsvpc
      RequiresCompatibilities: [FARGATE]
      ContainerDefinitions: [{Name: worker, Image: !Ref Image}]
  Service:
    Type: AWS::ECS::Service
    Properties:
      Cluster: !Ref Cluster
      TaskDefinition: !Ref Task
      LaunchType: FARGATE
      NetworkConfiguration: {AwsvpcConfiguration: {Subnets: [subnet-1], SecurityGroups: [sg-1]}}
Outputs:
  Cluster: {Value: !Ref Cluster}
  Service: {Value: !Ref Service}
"""


class Agent:
    """Runs the service's tasks as Fargate does, in a thread of its own; those of the broken image never start.

    `may_work`: without it nothing starts or stops.
    """

    def __init__(self, api: AwsApi, stack: dict[str, Any]) -> None:
        self._ecs = api.client("ecs")
        self._cluster, self._service = outputs(stack)["Cluster"], outputs(stack)["Service"]
        self.may_work, self._closing = threading.Event(), threading.Event()
        self.may_work.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def images(self) -> list[str]:
        """Return the images of the tasks that run."""
        arns = self._ecs.list_tasks(cluster=self._cluster)["taskArns"]
        tasks = self._ecs.describe_tasks(cluster=self._cluster, tasks=arns)["tasks"] if arns else []
        return [container["image"] for task in tasks for container in task["containers"]]

    def _run(self) -> None:
        while not self._closing.wait(0.1):
            if self.may_work.is_set():
                self._tick()

    def _tick(self) -> None:
        (service,) = self._ecs.describe_services(cluster=self._cluster, services=[self._service])["services"]
        newest, *older = service["deployments"]
        definition = self._ecs.describe_task_definition(taskDefinition=newest["taskDefinition"])["taskDefinition"]
        if definition["containerDefinitions"][0]["image"] == BROKEN:
            return
        if not newest["runningCount"]:
            group = f"service:{service['serviceName']}"
            started = self._ecs.run_task(
                cluster=self._cluster,
                taskDefinition=newest["taskDefinition"],
                startedBy=newest["id"],
                group=group,
                launchType="FARGATE",
                networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": []}},
            )["tasks"]
            self._report(started[0]["taskArn"], "RUNNING")
        for deployment in older:
            for arn in self._ecs.list_tasks(cluster=self._cluster, startedBy=deployment["id"])["taskArns"]:
                self._report(arn, "STOPPED")

    def _report(self, arn: str, status: str) -> None:
        self._ecs.submit_task_state_change(cluster=self._cluster, task=arn, status=status)


@contextmanager
def begun(api: AwsApi, name: str) -> Iterator[Agent]:
    """Create the stack, which waits for no task while none has run; then let its first task run."""
    stack = api.carry_out(name, TEMPLATE)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    agent = Agent(api, stack)
    try:
        assert eventually(lambda: agent.images() == ["i:1"], within_s=PATIENCE_S)
        yield agent
    finally:
        agent.close()


def test_an_update_is_complete_when_only_the_new_tasks_run() -> None:
    with aws_api() as api, begun(api, "settling") as agent, ThreadPoolExecutor(1) as pool:
        cloudformation = api.client("cloudformation")

        def status() -> str:
            return str(cloudformation.describe_stacks(StackName="settling")["Stacks"][0]["StackStatus"])

        agent.may_work.clear()
        updating = pool.submit(api.carry_out, "settling", TEMPLATE, "UPDATE", Image="i:2")
        assert eventually(lambda: status() == "UPDATE_IN_PROGRESS", within_s=PATIENCE_S)
        assert stays(lambda: status() == "UPDATE_IN_PROGRESS", for_s=1)
        agent.may_work.set()
        assert updating.result()["StackStatus"] == "UPDATE_COMPLETE"
        assert agent.images() == ["i:2"]


@pytest.mark.slow
def test_an_update_whose_tasks_do_not_start_is_rolled_back_after_the_limit() -> None:
    with aws_api("--service-limit-s", str(LIMIT_S)) as api, begun(api, "stuck") as agent:
        stack = api.carry_out("stuck", TEMPLATE, "UPDATE", Image=BROKEN)
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert "Exceeded attempts to wait" in api.failures("stuck")
        # The rollback is a deployment, too, and has been waited for.
        assert agent.images() == ["i:1"]
        assert api.carry_out("stuck", TEMPLATE, "UPDATE", Image="i:2")["StackStatus"] == "UPDATE_COMPLETE"
        assert agent.images() == ["i:2"]
