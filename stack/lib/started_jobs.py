"""What tasks of a pool may start outside of the stack: ECS tasks of a family, and Batch jobs of a queue."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from troposphere import Sub

from stack.lib.iam import TASKS, Statement, allow

STACK_NAME = "${AWS::StackName}"
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\$\{AWS::StackName\})+")
_ROLE_NAME = re.compile(r"(?:[A-Za-z0-9_+=,.@/-]|\$\{AWS::StackName\})+")


@dataclass(frozen=True, kw_only=True)
class EcsTask:
    """The ECS tasks of a family of task definitions, in one cluster. All are names of the stack's account and region.

    `roles`: the names, with their paths, of the roles that its task definitions have; no other can be given to them. A
    name may hold `${AWS::StackName}`, to differ by environment.
    """

    cluster: str
    family: str
    roles: tuple[str, ...]

    def __post_init__(self) -> None:
        _check("cluster", self.cluster, _NAME)
        _check("family", self.family, _NAME)
        for role in self.roles:
            _check("role", role, _ROLE_NAME)

    def statements(self) -> Iterator[Statement]:
        """Yield what `EcsRunTaskOperator` needs: to start, follow and stop them."""
        in_cluster: Statement = {"ArnEquals": {"ecs:cluster": _arn("ecs", f"cluster/{self.cluster}")}}
        yield allow(
            actions=["ecs:RunTask"],
            resources=[_arn("ecs", f"task-definition/{self.family}:*")],
            condition=in_cluster,
        )
        yield allow(actions=["ecs:DescribeTasks", "ecs:StopTask"], resources=[_arn("ecs", f"task/{self.cluster}/*")])
        # A task that is tried again finds the ECS task of the attempt before; the API takes no resource.
        yield allow(actions=["ecs:ListTasks"], resources=["*"], condition=in_cluster)
        if self.roles:
            yield allow(
                actions=["iam:PassRole"],
                resources=[
                    Sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role.lstrip('/')}")
                    for role in self.roles
                ],
                condition={"StringEquals": {"iam:PassedToService": TASKS}},
            )


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """The jobs of a job definition, in one job queue. Both are names of the stack's account and region.

    Who submits a job passes no role: its definition has one.
    """

    queue: str
    definition: str

    def __post_init__(self) -> None:
        _check("queue", self.queue, _NAME)
        _check("definition", self.definition, _NAME)

    def statements(self) -> Iterator[Statement]:
        """Yield what `BatchOperator` needs to submit and follow them."""
        yield allow(
            actions=["batch:SubmitJob"],
            # AWS asks for a revision, also where the request names none.
            resources=[_arn("batch", f"job-queue/{self.queue}"), _arn("batch", f"job-definition/{self.definition}:*")],
        )
        # The API takes no resource.
        yield allow(actions=["batch:DescribeJobs"], resources=["*"])


def start_jobs(jobs: Sequence[EcsTask | BatchJob]) -> list[Statement]:
    """Return the statements of all jobs, each once."""
    found: list[Statement] = []
    for statement in (each for job in jobs for each in job.statements()):
        if statement not in found:
            found.append(statement)
    return found


def _check(what: str, name: str, pattern: re.Pattern[str]) -> None:
    """Raise ValueError for what is no name, or is one of the stack's own resources, which tasks are denied."""
    if not pattern.fullmatch(name):
        raise ValueError(f"{what} {name!r} is no name: letters, digits, dashes and {STACK_NAME}")
    if name.lstrip("/").startswith(f"{STACK_NAME}-"):
        raise ValueError(f"{what} {name!r} begins as the stack's own, which tasks are denied: put {STACK_NAME} last")


def _arn(service: str, rest: str) -> Sub:
    return Sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")
