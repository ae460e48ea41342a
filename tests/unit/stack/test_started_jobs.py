"""What a pool's tasks may start: only what its declaration names, with the roles that it names."""

import json
from functools import cache
from typing import Any

import pytest

from stack.lib.started_jobs import BatchJob, EcsTask
from stack.sections.pools import DeclaredPool
from template_gen import build
from tests.support import rendered

REPORT = EcsTask(cluster="jobs", family="report", roles=("report-task-${AWS::StackName}", "teams/report-execution"))
NIGHTLY = BatchJob(queue="nightly", definition="rebuild")
DECLARED = (
    DeclaredPool(name="worker", queues=("default",)),
    DeclaredPool(
        name="jobs", queues=("jobs",), starts=(REPORT, EcsTask(cluster="jobs", family="mail", roles=()), NIGHTLY)
    ),
)
HERE = "${AWS::Region}:${AWS::AccountId}"


@cache
def template() -> dict[str, Any]:
    return rendered.content(build(DECLARED))


def allowed(role: str) -> list[dict[str, Any]]:
    (policy,) = template()["Resources"][role]["Properties"]["Policies"]
    return [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]


def statements_for(action: str) -> list[dict[str, Any]]:
    return [each for each in allowed("JobsTaskRole") if action in each["Action"]]


def arns(statement: dict[str, Any]) -> list[str]:
    return [each["Fn::Sub"].replace("arn:${AWS::Partition}:", "") for each in statement["Resource"]]


def test_ecs_tasks_are_started_by_family_and_cluster() -> None:
    for statement, family in zip(statements_for("ecs:RunTask"), ("report", "mail"), strict=True):
        assert arns(statement) == [f"ecs:{HERE}:task-definition/{family}:*"]
        (cluster,) = statement["Condition"]["ArnEquals"].values()
        assert cluster["Fn::Sub"].endswith(":cluster/jobs")


def test_only_the_named_roles_are_passed_and_only_to_ecs() -> None:
    (statement,) = statements_for("iam:PassRole")
    roles = ("report-task-${AWS::StackName}", "teams/report-execution")
    assert arns(statement) == [f"iam::${{AWS::AccountId}}:role/{role}" for role in roles]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_what_two_declarations_need_is_allowed_once() -> None:
    (follow,), (find,) = statements_for("ecs:DescribeTasks"), statements_for("ecs:ListTasks")
    assert arns(follow) == [f"ecs:{HERE}:task/jobs/*"]
    assert find["Condition"]["ArnEquals"]["ecs:cluster"]["Fn::Sub"].endswith(":cluster/jobs")


def test_jobs_are_submitted_by_definition_and_queue_and_pass_no_role() -> None:
    (statement,) = statements_for("batch:SubmitJob")
    assert arns(statement) == [f"batch:{HERE}:{name}" for name in ("job-queue/nightly", "job-definition/rebuild:*")]


def test_another_pool_may_start_nothing() -> None:
    assert json.loads(json.dumps(allowed("WorkerTaskRole"))) == [
        each
        for policy in rendered.resources("AWS::IAM::Role")["WorkerTaskRole"]["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    ]
    assert "RunTask" not in json.dumps(allowed("WorkerTaskRole"))


@pytest.mark.parametrize("pool", ["Worker", "Jobs"])
def test_no_policy_starts_tasks_in_the_stacks_own_cluster(pool: str) -> None:
    (policy,) = template()["Resources"][f"{pool}TaskRole"]["Properties"]["Policies"]
    denials = (each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny")
    (denied,) = (each for each in denials if "ecs:RunTask" in each.get("Action", ()))
    assert denied["Condition"] == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}}


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: EcsTask(cluster="jobs", family="a:1", roles=()), "family 'a:1' is no name"),
        (lambda: EcsTask(cluster="*", family="a", roles=()), "cluster '\\*' is no name"),
        (lambda: EcsTask(cluster="jobs", family="a", roles=("*",)), "role '\\*' is no name"),
        (lambda: EcsTask(cluster="jobs", family="a", roles=("${AWS::StackName}-AirflowTaskRole",)), "the stack's own"),
        (lambda: EcsTask(cluster="jobs", family="${AWS::StackName}-Worker", roles=()), "the stack's own"),
        (lambda: BatchJob(queue="", definition="a"), "queue '' is no name"),
        (lambda: BatchJob(queue="a", definition="${AWS::Region}"), "definition .* is no name"),
    ],
)
def test_a_declaration_that_is_no_name_or_names_the_stacks_own_is_refused(declare: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        declare()
