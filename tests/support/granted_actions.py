"""The actions that the local stack's roles allow, and those of them that `make demo` does not need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from project.physical_names import shorten_names
from stack.lib.iam import NETWORK_INTERFACE_ACTIONS
from tests.support import rendered

LOG = frozenset(("logs:CreateLogStream", "logs:PutLogEvents"))
# What AWS itself does with a role, and the local stack does not play.
IMAGE_PULL = frozenset(
    (
        *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage"),
        *("ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer"),
    )
)
OF_LAMBDA = frozenset((*LOG, *NETWORK_INTERFACE_ACTIONS))
# Each is needed elsewhere, as the comment says; what is needed nowhere is to be removed from its role.
NOT_IN_A_DEMO: Mapping[str, frozenset[str]] = {
    **{f"{service}ExecutionRole": IMAGE_PULL for service in ("Airflow", "Worker", "Flower")},
    # acceptance/iam: the triggerer uploads its logs, and a rotated password is read.
    "AirflowTaskRole": frozenset(("s3:PutObject", "kms:GenerateDataKey", "secretsmanager:GetSecretValue")),
    # acceptance/iam: a task that goes on after a wait reads its log, and appends to it. After an upload that failed, it
    # asks whether there is a log; without s3:ListBucket the answer "there is none" would be a refusal.
    "WorkerTaskRole": frozenset(("s3:GetObject", "s3:ListBucket", "kms:Decrypt")),
    # integration/functions/test_autoscaler_role: it passes the workers' roles when it moves them to another revision.
    "AutoscalerRole": OF_LAMBDA | {"iam:PassRole"},
    # integration/functions/test_version_check
    "VersionCheckRole": OF_LAMBDA | {"sns:Publish", "kms:GenerateDataKey"},
    # integration/functions/test_sleeper; Lambda reports a lost event.
    "SleeperRole": OF_LAMBDA
    | {
        *("sns:Publish", "kms:GenerateDataKey"),
        *("ecs:UpdateService", "ecs:TagResource", "ecs:UntagResource"),
        "application-autoscaling:RegisterScalableTarget",
        *("cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions", "cloudwatch:SetAlarmState"),
        *("rds:StartDBInstance", "rds:StopDBInstance"),
    },
    # integration/functions/test_retirement; Lambda reports a lost event.
    "RetirementRole": OF_LAMBDA
    | {
        *("sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"),
        *("ecs:DescribeTasks", "ecs:ListTasks", "ecs:TagResource", "ecs:UpdateService"),
    },
    # Of services that the local stack does not play.
    "DatabaseMonitoringRole": LOG | {"logs:CreateLogGroup", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"},
    # acceptance/iam: a demo ends before the database is cleaned.
    "CleanExecutionRole": IMAGE_PULL | LOG | {"secretsmanager:GetSecretValue", "kms:Decrypt"},
    "CleanScheduleRole": frozenset(("ecs:RunTask", "iam:PassRole")),
    "DatabaseLogsRole": frozenset(("logs:AssociateKmsKey", "logs:PutRetentionPolicy")),
}


def granted() -> dict[str, set[str]]:
    """Return the actions that the template allows in the local environment, by the logical ids of the roles."""
    resources = rendered.in_environment("local")["Resources"]
    roles = {title: each["Properties"] for title, each in resources.items() if each["Type"] == "AWS::IAM::Role"}
    return {title: set(_actions(title, role, resources)) for title, role in roles.items()}


def unlisted(used: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return the granted actions that a demo did not use and NOT_IN_A_DEMO does not list, by role.

    `used`: those that were used, by the physical names of the roles.
    """
    by_title = {shorten_names(name): set(actions) for name, actions in used.items()}
    rest = {
        title: actions - by_title.get(title, set()) - NOT_IN_A_DEMO.get(title, frozenset())
        for title, actions in granted().items()
    }
    return {title: actions for title, actions in rest.items() if actions}


def _actions(title: str, role: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    documents = [policy["PolicyDocument"] for policy in role.get("Policies", ())]
    for name, each in resources.items():
        properties = each.get("Properties", {})
        is_attached = each["Type"] == "AWS::IAM::Policy" and {"Ref": title} in properties["Roles"]
        if is_attached or {"Ref": name} in role.get("ManagedPolicyArns", ()):
            documents.append(properties["PolicyDocument"])
    for document in documents:
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                yield from statement["Action"]
