"""The schedule that cleans the database, in the deployed template with IAM enforced."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.iam.sessions import RoleSession, Service
from local.fargate.schedules import SCHEDULER, Schedules
from ops.ecs_task import EcsTask, Ended, NotRun
from project.clients import Clients
from project.schedules import run_task_of
from stack.sections.pools import DeclaredPool
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools

DECLARED = (DeclaredPool(name="worker", queues=("default",)),)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    clients: Clients
    outputs: dict[str, str]

    @property
    def schedule(self) -> str:
        return self.outputs["CleanScheduleName"]

    def target(self) -> dict[str, Any]:
        found: dict[str, Any] = self.clients.scheduler.get_schedule(Name=self.schedule)["Target"]
        return found

    def as_scheduler(self) -> Any:
        """Return a client of ECS with the role that Scheduler takes for this schedule."""
        service = Service(SCHEDULER, endpoint=self.clients.endpoint, region=self.clients.region)
        return RoleSession(service, self.target()["RoleArn"], session="schedule").client("ecs")

    def task(self, arn: str) -> dict[str, Any]:
        cluster = self.outputs["ClusterName"]
        (found,) = self.clients.ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
        return dict(found)

    def end(self, arn: str, **container: Any) -> None:
        """Report the end of a task as Fargate does."""
        self.clients.ecs.submit_task_state_change(
            cluster=self.outputs["ClusterName"],
            task=arn,
            status="STOPPED",
            reason="Essential container in task exited",
            containers=[{"containerName": "clean", **container}],
        )


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    with aws_api() as running:
        yield running


@pytest.fixture(scope="module")
def deployed(api: AwsApi) -> Deployed:
    stack = deploy_pools(api, DECLARED, DatabaseCleanSchedule="rate(1 day)")
    return Deployed(clients=Clients(f"http://localhost:{api.port}", api.region), outputs=outputs(stack))


def test_the_schedule_starts_its_task_with_its_own_role(deployed: Deployed) -> None:
    arn = Schedules(clients=deployed.clients).run(deployed.schedule)
    task = deployed.task(arn)
    assert [container["name"] for container in task["containers"]] == ["clean"]
    assert task["group"].startswith("family:")
    deployed.end(arn, exitCode=0)


def test_its_role_starts_no_other_task_and_passes_no_other_role(deployed: Deployed) -> None:
    arguments = run_task_of(deployed.target())
    services = deployed.clients.ecs.describe_services(
        cluster=deployed.outputs["ClusterName"], services=[deployed.outputs["AirflowServiceName"]]
    )
    definition = services["services"][0]["taskDefinition"]
    with pytest.raises(ClientError, match="not authorized to perform: ecs:RunTask"):
        deployed.as_scheduler().run_task(**{**arguments, "taskDefinition": definition})
    deployed.clients.ecs.create_cluster(clusterName="another")
    with pytest.raises(ClientError, match="not authorized to perform: ecs:RunTask"):
        deployed.as_scheduler().run_task(**{**arguments, "cluster": "another"})


class Fargate:
    """Ends the command's task at its first pause, with a log as the container writes it."""

    def __init__(self, deployed: Deployed, **container: Any) -> None:
        self._deployed, self._container = deployed, container
        self.said: list[str] = []

    def __call__(self, _seconds: float) -> None:
        clients, arn = self._deployed.clients, self.said[0].removeprefix("ECS task ")
        overrides = self._deployed.task(arn)["overrides"]["containerOverrides"]
        assert overrides == [{"name": "clean", "environment": [{"name": "CLEAN_DRY_RUN", "value": "1"}]}]
        definition = clients.ecs.describe_task_definition(taskDefinition=self._deployed.task(arn)["taskDefinitionArn"])
        options = definition["taskDefinition"]["containerDefinitions"][0]["logConfiguration"]["options"]
        where = {"logGroupName": options["awslogs-group"], "logStreamName": f"clean/clean/{arn.rpartition('/')[2]}"}
        clients.logs.create_log_stream(**where)
        now = int(time.time() * 1000)
        events = [{"timestamp": now + number, "message": f"line {number}"} for number in range(3)]
        clients.logs.put_log_events(**where, logEvents=events)
        self._deployed.end(arn, **self._container)

    def run(self) -> Ended:
        def client(service: str) -> Any:
            return getattr(self._deployed.clients, service)

        task = EcsTask(client=client, schedule=self._deployed.schedule, say=self.said.append, sleep=self)
        return task.run({"CLEAN_DRY_RUN": "1"}, seconds=60)


@pytest.mark.parametrize("exit_code", [0, 78])
def test_the_command_gets_the_exit_code_and_the_log(deployed: Deployed, exit_code: int) -> None:
    ended = Fargate(deployed, exitCode=exit_code).run()
    assert ended == Ended(exit_code=exit_code, log=["line 0", "line 1", "line 2"])


def test_the_end_of_a_container_that_never_ran_is_unknown(deployed: Deployed) -> None:
    with pytest.raises(NotRun, match="the container did not run: Essential container in task exited"):
        Fargate(deployed).run()
