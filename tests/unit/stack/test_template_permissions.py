"""Permissions in AWS: each role allows only what its code does, and only on its own resources."""

import ast
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from agent.events import event
from cfn.intrinsics import Scope, no_resources, resolve
from local.aws.iam.conditions import are_met
from stack.lib.alarms import METRICS_NAMESPACE
from tests.support import rendered

ROOT = Path(__file__).parents[3]
NETWORK_INTERFACES = "Lambda checks it on all resources before it creates the function"
# Each action that is allowed on all resources, with the reason why it cannot be limited.
ON_ALL_RESOURCES = {
    "ecr:GetAuthorizationToken": "the token is for the whole registry; the API takes no resource",
    "application-autoscaling:DescribeScalableTargets": "the API takes no resource",
    "cloudwatch:PutMetricData": "the API takes no resource; the fleet's own namespace is denied",
    "xray:PutTraceSegments": "the API takes no resource; allowed only where runs are traced",
    "ecs:ListServices": "listing takes no resource; the cluster is a condition",
    "ecs:ListTasks": "listing by service takes no resource; the cluster is a condition",
    **{
        f"ssmmessages:{action}": "a session's channel has no ARN before it exists; allowed only by ExecAllowed"
        for action in ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
    },
    "ec2:AssignPrivateIpAddresses": NETWORK_INTERFACES,
    "ec2:CreateNetworkInterface": NETWORK_INTERFACES,
    "ec2:DeleteNetworkInterface": NETWORK_INTERFACES,
    "ec2:DescribeNetworkInterfaces": NETWORK_INTERFACES,
    "ec2:DescribeSubnets": NETWORK_INTERFACES,
    "ec2:UnassignPrivateIpAddresses": NETWORK_INTERFACES,
}
# Most services have operations of these names; the functions tag only resources of ECS.
TAGGING = ("TagResource", "UntagResource")
TASKS = {"airflow": "Airflow", "worker": "Worker", "flower": "Flower", "clean": "Clean"}
# Roles with which services themselves work for the stack.
OF_SERVICES = {
    "DatabaseMonitoringRole": "monitoring.rds.amazonaws.com",
    "DatabaseLogsRole": "scheduler.amazonaws.com",
    "CleanScheduleRole": "scheduler.amazonaws.com",
}
# The modules of each function, by its title.
FUNCTIONS = {
    "Autoscaler": ["autoscaler/*.py"],
    "VersionCheck": ["version_check/*.py"],
    "Sleeper": ["sleeper/*.py"],
    "Retirement": ["retirement/*.py"],
}


def statements(role: str, effect: str = "Allow") -> list[dict[str, Any]]:
    """List the statements of the role itself and of the policies that are attached to it under a condition."""
    attached = [p for p in rendered.resources("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    return [
        statement
        for policy in [*rendered.resources("AWS::IAM::Role")[role].get("Policies", []), *attached]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == effect
    ]


def network_statement(effect: str) -> dict[str, Any]:
    (policy,) = rendered.resources("AWS::IAM::ManagedPolicy").values()
    (found,) = (s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == effect)
    return dict(found)


def statement_for(role: str, action: str) -> dict[str, Any]:
    (found,) = (statement for statement in statements(role) if action in statement["Action"])
    return found


def services(*titles: str) -> list[dict[str, Any]]:
    """Return the patterns of the services' ARNs in a role that exists before them; Flower's is left out without it."""
    arn = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:service/${Cluster}/${AWS::StackName}"
    patterns = {title: {"Fn::Sub": f"{arn}-{title}Service*"} for title in titles}
    nothing = {"Ref": "AWS::NoValue"}
    return [
        {"Fn::If": ["HasFlower", pattern, nothing]} if title == "Flower" else pattern
        for title, pattern in patterns.items()
    ]


def roles() -> list[str]:
    return sorted(rendered.resources("AWS::IAM::Role"))


def secret_arn(value_from: dict[str, str]) -> dict[str, Any]:
    """Return the ARN without the JSON key that a container reads from the secret."""
    if "Fn::Sub" not in value_from:
        return value_from
    owner, attribute = re.fullmatch(r"\$\{(\w+)(?:\.([\w.]+))?\}:\w+::", value_from["Fn::Sub"]).groups()  # type: ignore[union-attr]
    return {"Fn::GetAtt": [owner, attribute]} if attribute else {"Ref": owner}


def test_each_purpose_has_a_role_and_there_is_no_other() -> None:
    expected = {f"{title}ExecutionRole" for title in TASKS.values()}
    expected |= {f"{title}TaskRole" for title in TASKS.values()}
    expected |= {f"{title}Role" for title in FUNCTIONS} | set(OF_SERVICES)
    assert set(roles()) == expected


@pytest.mark.parametrize("role", roles())
def test_a_role_has_the_boundary_and_only_tasks_have_an_environments_policies(role: str) -> None:
    properties = rendered.resources("AWS::IAM::Role")[role]
    attached = {f"{title}Role": [{"Ref": "FunctionsNetworkPolicy"}] for title in FUNCTIONS}
    given = {"Fn::Split": [",", {"Ref": "WorkerPolicyArns"}]}
    attached_by_parameter = {"Fn::If": ["HasWorkerPolicyArns", given, {"Ref": "AWS::NoValue"}]}
    assert properties.get("ManagedPolicyArns") == (
        attached_by_parameter if role == "WorkerTaskRole" else attached.get(role)
    )
    assert properties["PermissionsBoundary"] == {
        "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
    }


@pytest.mark.parametrize("role", roles())
def test_a_role_names_each_action_in_full(role: str) -> None:
    actions = [action for statement in statements(role) for action in statement["Action"]]
    assert actions
    assert [action for action in actions if "*" in action] == []


@pytest.mark.parametrize("role", roles())
def test_a_role_reaches_all_resources_only_where_the_api_allows_no_limit(role: str) -> None:
    unbounded = {
        action for statement in statements(role) if "*" in statement["Resource"] for action in statement["Action"]
    }
    assert unbounded <= ON_ALL_RESOURCES.keys()


def test_every_exception_for_all_resources_is_used() -> None:
    used = {
        action
        for role in roles()
        for statement in statements(role)
        if "*" in statement["Resource"]
        for action in statement["Action"]
    }
    assert used | set(network_statement("Allow")["Action"]) == ON_ALL_RESOURCES.keys()


@pytest.mark.parametrize(
    ("role", "action"),
    [("VersionCheckRole", "ecs:ListTasks"), *((f"{title}Role", "ecs:ListServices") for title in FUNCTIONS)],
)
def test_listing_is_limited_to_the_cluster(role: str, action: str) -> None:
    condition = statement_for(role, action)["Condition"]
    assert condition == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}}


@pytest.mark.parametrize("title", TASKS.values())
def test_an_execution_role_reads_exactly_the_secrets_of_its_task_definition(title: str) -> None:
    definition = rendered.resources("AWS::ECS::TaskDefinition")[f"{title}TaskDefinition"]
    assert definition["ExecutionRoleArn"] == {"Fn::GetAtt": [f"{title}ExecutionRole", "Arn"]}
    used = [
        secret_arn(value)
        for container in rendered.containers_of(definition)
        for value in rendered.secrets(container).values()
    ]
    given = statement_for(f"{title}ExecutionRole", "secretsmanager:GetSecretValue")["Resource"]
    # A secret that an operator may name is read under the condition that one is named.
    assert all(each["Fn::If"][2] == {"Ref": "AWS::NoValue"} for each in given if "Fn::If" in each)
    allowed = [each["Fn::If"][1] if "Fn::If" in each else each for each in given]
    assert sorted(map(str, allowed)) == sorted({str(arn) for arn in used})


@pytest.mark.parametrize("title", TASKS.values())
def test_an_execution_role_writes_only_its_own_logs(title: str) -> None:
    resource = statement_for(f"{title}ExecutionRole", "logs:PutLogEvents")["Resource"]
    assert resource == [{"Fn::GetAtt": [f"{title}LogGroup", "Arn"]}]


@pytest.mark.parametrize("role", ["AirflowTaskRole", "WorkerTaskRole"])
def test_airflow_reads_and_writes_task_logs_and_nothing_else_in_the_bucket(role: str) -> None:
    keys = statement_for(role, "kms:GenerateDataKey")
    assert keys["Resource"] == [{"Fn::GetAtt": ["Key", "Arn"]}]
    objects, *_ = (s for s in statements(role) if "s3:GetObject" in s["Action"])
    assert set(objects["Action"]) == {"s3:GetObject", "s3:PutObject"}
    (resource,) = objects["Resource"]
    assert resource == {"Fn::Sub": ["${Bucket}/logs/*", {"Bucket": {"Fn::GetAtt": ["LogBucket", "Arn"]}}]}
    listings = [s for s in statements(role) if s["Action"] == ["s3:ListBucket"]]
    (listing,) = (s for s in listings if s["Resource"] == [{"Fn::GetAtt": ["LogBucket", "Arn"]}])
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["logs", "logs/*"]}}


@pytest.mark.parametrize("role", ["AirflowTaskRole", "WorkerTaskRole"])
def test_airflow_and_tasks_only_read_the_bucket_of_dags(role: str) -> None:
    bucket = {"Fn::GetAtt": ["DagBucket", "Arn"]}
    objects = {"Fn::Sub": ["${Bucket}/*", {"Bucket": bucket}]}
    found = {tuple(s["Action"]) for s in statements(role) for each in s["Resource"] if each in (bucket, objects)}
    assert found == {("s3:GetObject",), ("s3:ListBucket",)}


def test_no_other_role_reaches_the_bucket_of_dags() -> None:
    reaching = {role for role in roles() for s in statements(role) if "DagBucket" in str(s["Resource"])}
    assert reaching == {"AirflowTaskRole", "WorkerTaskRole"}


def test_a_task_can_write_no_dags_whatever_policies_are_attached_to_its_role() -> None:
    (denied,) = (s for s in statements("WorkerTaskRole", "Deny") if "DagBucket" in str(s["Resource"]))
    assert denied["NotAction"] == ["s3:GetObject", "s3:ListBucket"]
    bucket = {"Fn::GetAtt": ["DagBucket", "Arn"]}
    assert denied["Resource"] == [bucket, {"Fn::Sub": ["${Bucket}/*", {"Bucket": bucket}]}]


def test_only_workers_protect_tasks_and_only_of_their_cluster() -> None:
    protecting = [
        role for role in roles() for s in statements(role) if any("TaskProtection" in action for action in s["Action"])
    ]
    assert protecting == ["WorkerTaskRole"]
    statement = statement_for("WorkerTaskRole", "ecs:UpdateTaskProtection")
    assert statement["Action"] == ["ecs:UpdateTaskProtection"]
    (resource,) = statement["Resource"]
    assert resource["Fn::Sub"].endswith(":task/${Cluster}/*")


def test_what_tasks_are_denied_is_not_what_a_worker_needs() -> None:
    """The parts of the stack that other statements allow, and nothing else of them."""
    xcoms, own, protection, starting, _, access, key = statements("WorkerTaskRole", "Deny")
    allowed = {action for s in statements("WorkerTaskRole") for action in s["Action"]}
    assert {action for action in own["NotAction"] if action not in allowed} == set()
    assert xcoms["NotAction"] == ["s3:GetObject", "s3:PutObject"]
    assert xcoms["Resource"][0] == {"Fn::GetAtt": ["XComBucket", "Arn"]}
    assert protection["Action"] == ["ecs:UpdateTaskProtection"]
    tag = "aws:ResourceTag/FleetPool"
    assert protection["Condition"] == {"StringNotEquals": {tag: "worker"}, "Null": {tag: "false"}}
    assert starting["Action"] == ["ecs:RunTask", "ecs:StartTask"]
    assert access["Action"] == ["s3:*"]
    assert access["Resource"][0] == {"Fn::GetAtt": ["AccessLogBucket", "Arn"]}
    assert key["Resource"] == [{"Fn::GetAtt": ["Key", "Arn"]}]
    assert {role for role in roles() if statements(role, "Deny")} == {"WorkerTaskRole"}


def test_a_pool_writes_large_xcoms_below_its_own_name_only_and_tasks_of_all_and_airflow_read_them() -> None:
    own, all_of_them = ({"Fn::Join": ["", [{"Fn::GetAtt": ["XComBucket", "Arn"]}, end]]} for end in ("/worker/*", "/*"))

    def may(role: str, action: str) -> list[Any]:
        return [resource for s in statements(role) if action in s["Action"] for resource in s["Resource"]]

    writers = {role for role in roles() if own in may(role, "s3:PutObject")}
    readers = {role for role in roles() if all_of_them in may(role, "s3:GetObject")}
    assert writers == {"WorkerTaskRole"}
    assert readers == {"WorkerTaskRole", "AirflowTaskRole"}
    assert [role for role in roles() if all_of_them in may(role, "s3:PutObject")] == []
    _, limit = rendered.resources("AWS::S3::BucketPolicy")["XComBucketPolicy"]["PolicyDocument"]["Statement"]
    assert (limit["Effect"], limit["Action"], limit["NotResource"]) == ("Deny", "s3:PutObject", own)
    assert limit["Condition"] == {"ArnEquals": {"aws:PrincipalArn": {"Fn::GetAtt": ["WorkerTaskRole", "Arn"]}}}


def test_flower_may_do_nothing_in_aws() -> None:
    assert [s for s in statements("FlowerTaskRole") if "ssmmessages:OpenDataChannel" not in s["Action"]] == []


def test_the_code_of_a_task_may_use_its_logs_and_protect_workers_only() -> None:
    actions = {action for statement in statements("WorkerTaskRole") for action in statement["Action"]}
    assert {action for action in actions if not action.startswith("ssmmessages:")} == {
        *("s3:GetObject", "s3:PutObject", "s3:ListBucket", "kms:Decrypt", "kms:GenerateDataKey"),
        "ecs:UpdateTaskProtection",
        "secretsmanager:GetSecretValue",  # below the prefix of connections only, see below
        "ses:SendRawEmail",  # from the address of MailFrom only, see below
    }


def test_policies_that_are_attached_have_a_parameter_of_their_own() -> None:
    policies = {t: p for t, p in rendered.deployed()["Resources"].items() if p["Type"] == "AWS::IAM::Policy"}
    conditions = {title: policy["Condition"] for title, policy in policies.items()}
    assert conditions == {
        **{f"{title}ExecPolicy": "HasExec" for title in TASKS.values() if title != "Flower"},
        "FlowerExecPolicy": "HasFlowerAndExec",
        **{f"{title}ConnectionsPolicy": "HasConnectionsPrefix" for title in ("Airflow", "Worker")},
        "MailPolicy": "HasMailFrom",
        "AirflowTopicsPolicy": "HasAirflowTopics",
        "AirflowMetricsPolicy": "SendsMetrics",
        "AirflowTracesPolicy": "SendsTraces",
        "EventsPolicy": "HasEventBus",
    }


@pytest.mark.parametrize(("namespace", "is_allowed"), [(None, True), ("Airflow", True), (METRICS_NAMESPACE, False)])
def test_airflow_sends_metrics_but_none_of_those_on_which_alarms_stand(namespace: str | None, is_allowed: bool) -> None:
    statement = statement_for("AirflowTaskRole", "cloudwatch:PutMetricData")
    context = {} if namespace is None else {"cloudwatch:namespace": namespace}
    assert are_met(statement["Condition"], context) is is_allowed
    sending = {r for r in roles() for s in statements(r) if "cloudwatch:PutMetricData" in s["Action"]}
    assert sending == {"AirflowTaskRole"}


def test_only_the_service_airflow_sends_events_of_its_own_source_to_one_bus() -> None:
    policy = rendered.resources("AWS::IAM::Policy")["EventsPolicy"]
    assert policy["Roles"] == [{"Ref": "AirflowTaskRole"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    default = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
    assert statement == {
        "Effect": "Allow",
        "Action": ["events:PutEvents"],
        "Resource": [{"Fn::If": ["IsDefaultEventBus", {"Fn::Sub": default}, {"Ref": "EventBus"}]}],
        "Condition": {"StringEquals": {"events:source": event.SOURCE}},
    }
    granting = [t for t, each in rendered.deployed()["Resources"].items() if "events:PutEvents" in str(each)]
    assert granting == ["EventsPolicy"]


@pytest.mark.parametrize("title", ["Airflow", "Worker"])
def test_connections_can_be_read_only_below_their_prefix(title: str) -> None:
    policy = rendered.resources("AWS::IAM::Policy")[f"{title}ConnectionsPolicy"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    (resource,) = statement["Resource"]
    assert resource["Fn::Sub"][0].endswith(":secret:${Prefix}/*")
    assert resource["Fn::Sub"][1] == {"Prefix": {"Ref": "ConnectionsPrefix"}}


def test_mail_comes_from_the_address_only_and_from_those_who_send_only() -> None:
    policy = rendered.resources("AWS::IAM::Policy")["MailPolicy"]
    assert policy["Roles"] == [{"Ref": "AirflowTaskRole"}, {"Ref": "WorkerTaskRole"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": {"Ref": "MailFrom"}}}
    assert all(resource["Fn::Sub"][0].endswith(":identity/${Identity}") for resource in statement["Resource"])
    address, domain = (resource["Fn::Sub"][1]["Identity"] for resource in statement["Resource"])
    assert address == {"Ref": "MailFrom"}
    for sender, behind in (("airflow@mail.example.com", "mail.example.com"), ("", "")):
        assert (
            resolve(
                domain, Scope(parameters={"MailFrom": sender}, mappings={}, ref=no_resources, attribute=no_resources)
            )
            == behind
        )


@pytest.mark.parametrize(("title", "modules"), FUNCTIONS.items())
def test_a_function_may_call_exactly_what_its_code_calls(title: str, modules: list[str]) -> None:
    """Compare the role's actions with the operations in the modules and in the shared code that they name."""
    code = "\n".join(path.read_text() for pattern in modules for path in (ROOT / "functions").glob(pattern))
    shared: dict[str, str] = {}
    for path in (ROOT / "functions" / "shared").glob("*.py"):
        text = path.read_text()
        found = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef))
        shared |= {node.name: str(ast.get_source_segment(text, node)) for node in found}
    while named := [name for name in shared if re.search(rf"\b{name}\b", code)]:
        code = "\n".join([code, *(shared.pop(name) for name in named)])
    called = set(re.findall(r"""[.("'](\w+)""", code))
    session = botocore.session.get_session()
    operations = {
        f"{service}:{operation}"
        for service in ("application-autoscaling", "cloudwatch", "ecs", "rds", "secretsmanager", "sns")
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in called and (service == "ecs" or operation not in TAGGING)
    }
    allowed = {
        action
        for statement in statements(f"{title}Role")
        for action in statement["Action"]
        if action.split(":")[0] not in ("iam", "kms", "logs")
    }
    # Lambda itself publishes lost events with the function's role.
    lambdas = (
        {"sns:Publish"}
        if "DeadLetterConfig" in rendered.resources("AWS::Lambda::Function")[f"{title}Function"]
        else set()
    )
    assert allowed == operations | lambdas


def test_the_autoscaler_changes_only_worker_services() -> None:
    assert statement_for("AutoscalerRole", "ecs:UpdateService")["Resource"] == services("Worker")


def test_roles_of_workers_and_of_the_cleaning_are_passed_only_by_those_who_start_them_and_only_to_ecs() -> None:
    passing = {role: s for role in roles() for s in statements(role) if "iam:PassRole" in s["Action"]}
    assert passing == {
        role: {
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": [{"Fn::GetAtt": [f"{passed}{kind}Role", "Arn"]} for kind in ("Task", "Execution")],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        }
        for role, passed in (("AutoscalerRole", "Worker"), ("CleanScheduleRole", "Clean"))
    }


def test_the_cleanings_schedule_starts_its_own_task_in_its_own_cluster() -> None:
    assert statement_for("CleanScheduleRole", "ecs:RunTask") == {
        "Effect": "Allow",
        "Action": ["ecs:RunTask"],
        "Resource": [{"Ref": "CleanTaskDefinition"}],
        "Condition": {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}},
    }
    assert {a for s in statements("CleanTaskRole") for a in s["Action"] if not a.startswith("ssmmessages:")} == set()


def test_the_function_for_retirement_deploys_only_airflow_and_flower() -> None:
    assert statement_for("RetirementRole", "ecs:UpdateService")["Resource"] == services("Airflow", "Flower")
    assert statement_for("RetirementRole", "ecs:TagResource")["Resource"] == services("Airflow", "Worker", "Flower")


def test_the_sleeper_changes_only_the_stacks_resources() -> None:
    assert statement_for("SleeperRole", "ecs:UpdateService")["Resource"] == services("Airflow", "Worker", "Flower")
    assert statement_for("SleeperRole", "rds:StopDBInstance")["Resource"] == [
        {"Fn::GetAtt": ["Database", "DBInstanceArn"]}
    ]
    (alarms,) = statement_for("SleeperRole", "cloudwatch:DisableAlarmActions")["Resource"]
    assert alarms["Fn::Sub"].endswith(":alarm:${AWS::StackName}-Alarm*")
    scaling = statement_for("SleeperRole", "application-autoscaling:RegisterScalableTarget")
    assert scaling["Condition"] == {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}


@pytest.mark.parametrize("title", FUNCTIONS)
def test_a_function_has_a_role_of_its_own(title: str) -> None:
    function = rendered.resources("AWS::Lambda::Function")[f"{title}Function"]
    assert function["Role"] == {"Fn::GetAtt": [f"{title}Role", "Arn"]}


def test_the_function_for_retirement_reads_no_secret() -> None:
    assert [s for s in statements("RetirementRole") if "secretsmanager:GetSecretValue" in s["Action"]] == []


@pytest.mark.parametrize("title", [title for title in FUNCTIONS if title != "Retirement"])
def test_a_function_reads_only_the_password_of_its_own_broker_user(title: str) -> None:
    resource = statement_for(f"{title}Role", "secretsmanager:GetSecretValue")["Resource"]
    assert resource == [{"Ref": f"Broker{title}Secret"}]
    variables = rendered.resources("AWS::Lambda::Function")[f"{title}Function"]["Environment"]["Variables"]
    assert variables["BROKER_SECRET_ARN"] == {"Ref": f"Broker{title}Secret"}
    user = rendered.resources("AWS::ElastiCache::User")[f"Broker{title}User"]
    assert variables["BROKER_USER"] == user["UserName"]


BROKER_SECRETS_OF = {
    "Airflow": {
        *("BrokerSchedulerSecret", "BrokerWebserverSecret", "BrokerDagProcessorSecret", "BrokerTriggererSecret"),
        *("BrokerForecasterSecret", "BrokerReaderSecret", "BrokerPageSecret", "BrokerEventsSecret"),
    },
    "Worker": {"BrokerWorkerWorkerSecret", "BrokerReaderSecret"},
    "Flower": {"BrokerFlowerSecret"},
}


@pytest.mark.parametrize(("service", "expected"), BROKER_SECRETS_OF.items())
def test_an_execution_role_reads_only_the_passwords_of_its_containers_broker_users(
    service: str, expected: set[str]
) -> None:
    resources = statement_for(f"{service}ExecutionRole", "secretsmanager:GetSecretValue")["Resource"]
    there = (resource["Fn::If"][1] if "Fn::If" in resource else resource for resource in resources)
    own = {resource["Ref"] for resource in there if "Ref" in resource}
    assert {name for name in own if name.startswith("Broker")} == expected


def test_the_functions_code_is_denied_lambdas_network_permissions() -> None:
    denied, granted = network_statement("Deny"), network_statement("Allow")
    assert denied["Action"] == granted["Action"]
    assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


@pytest.mark.parametrize(
    ("role", "service"),
    [
        (
            role,
            OF_SERVICES.get(
                role, "ecs-tasks.amazonaws.com" if "TaskRole" in role or "Execution" in role else "lambda.amazonaws.com"
            ),
        )
        for role in roles()
    ],
)
def test_a_role_is_assumed_by_one_service(role: str, service: str) -> None:
    (statement,) = rendered.resources("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
