"""No parameter's change replaces a resource that keeps state, by CloudFormation's own schemas."""

import copy
import re
from functools import cache
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from cfn.intrinsics import references
from fleet.work import DEFAULT_LIMITS
from ops.cost.resolved import resolve_template
from project import environments
from project.paths import ROOT
from tests.support import rendered

STATEFUL = {
    "AWS::ElastiCache::ReplicationGroup", "AWS::KMS::Key", "AWS::RDS::DBInstance", "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
}  # fmt: skip
SUBNETS = "subnet-0123abcd,subnet-4567abcd"
# Another value for each parameter whose constraint does not list other values.
OTHER = {
    "WorkAlarmLimits": DEFAULT_LIMITS.replace("RunFailures=0", "RunFailures=1"),
    "EventBus": "default",
    "AirflowSettings": "AIRFLOW__API__INSTANCE_NAME=others\n",
    "TaskSettings": "AIRFLOW__CORE__DEFAULT_TASK_RETRIES=1\n",
    "BackupKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
    "DatabaseCleanSchedule": "rate(2 days)",
    "MaintenanceWindow": "sun:04:00-sun:05:00",
    "SleepSchedule": "cron(0 19 ? * MON-FRI *)",
    "WakeSchedule": "cron(0 6 ? * MON-FRI *)",
    "AirflowCpu": "2048",
    "AirflowMax": "6",
    "AirflowMemory": "8192",
    "FlowerMemory": "2048",
    "WorkerMemory": "4096",
    "AlarmEmail": "others@example.com",
    "AirflowTopicArns": "arn:aws:sns:us-east-1:123456789012:others",
    "MailFrom": "others@example.com",
    "AllowedCidrs": "192.168.0.0/16,172.16.0.0/12",
    "BrokerNodeType": "cache.m7g.xlarge",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/11111111-1111-1111-1111-111111111111",
    "ConnectionsPrefix": "others",
    "DomainName": "others.example.com",
    "HostedZoneId": "Z0123456789OTHERS",
    "DatabaseAuthorities": "/etc/ssl/others.pem",
    "DatabaseBackupWindow": "03:00-04:00",
    "DatabaseInstanceClass": "db.m7g.xlarge",
    "ImageRepositoryArn": "arn:aws:ecr:us-east-1:123456789012:repository/others",
    "ImageUri": "others:2",
    "MachineRoles": "Op: aws=arn:aws:iam::123456789012:role/others",
    "OtlpSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:receiver-a1b2c3",
    "PluginPaths": "/reports*",
    "OidcIssuer": "https://others.example.com",
    "OidcGroupsClaim": "roles",
    "OidcScopes": "openid groups",
    "RoleMapping": '{"leads": "Admin"}',
    "PasswordsSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:passwords-a1b2c3",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/others",
    "VpcCidr": "10.1.0.0/16",
    "VpcId": "vpc-0123abcd",
    "WorkerMax": "60",
    "WorkerPolicyArns": "arn:aws:iam::123456789012:policy/others",
    "DagBundles": "image,others",
}
# What keeps state and goes by purpose: nothing else needs this password, and another one is generated.
LOST = {"FlowerEnabled": {"BrokerFlowerSecret"}}
# Parameters that a rule requires to be set together.
TOGETHER = {
    "VpcId": {"PrivateSubnetIds": SUBNETS, "PublicSubnetIds": SUBNETS},
    "OidcIssuer": {
        "OidcAuthorizationEndpoint": "https://others.example.com/a",
        "OidcTokenEndpoint": "https://others.example.com/t",
        "OidcUserInfoEndpoint": "https://others.example.com/u",
        "OidcClientId": "airflow",
        "OidcSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:oidc-a1b2c3",
    },
    "MaintenanceWindow": {"DatabaseBackupWindow": "02:00-03:00"},
    "HostedZoneId": {"DomainName": "others.example.com"},
    "WorkerCpu": {"WorkerMemory": "2048"},
    "FlowerCpu": {"FlowerMemory": "2048"},
}
FOLLOWERS = {name for others in TOGETHER.values() for name in others} - {
    "AirflowMemory",
    "DomainName",
    "WorkerMemory",
    "FlowerMemory",
}


def parameters() -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = rendered.template()["Parameters"]
    return declared


@cache
def given() -> dict[str, str]:
    return environments.load("prd").parameters


def other_value(name: str) -> str:
    declared = parameters()[name]
    now = given().get(name, str(declared.get("Default")))
    if name in OTHER:
        return OTHER[name]
    choices = declared.get("AllowedValues") or [declared["MinValue"], declared["MaxValue"]]
    return next(str(choice) for choice in choices if str(choice) != now)


@cache
def with_values(changes: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Resolve the template with these values.

    SAM's transform, most of the work, runs once: the resources that it makes of functions keep no state.
    """
    return resolve_template(rendered.deployed(), given={**given(), **dict(changes)}, region=rendered.REGION)


@cache
def create_only(kind: str) -> frozenset[str]:
    """List the first-level properties whose change makes CloudFormation replace a resource."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(rendered.REGION, kind).schema
    return frozenset(path.split("/")[2] for path in schema.get("createOnlyProperties", []))


def replaced(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """List the resources that are replaced or lost.

    A resource that refers to one of them in a create-only property is replaced, too.
    """
    old, new = before["Resources"], after["Resources"]
    found = {title for title in old if title not in new or old[title]["Type"] != new[title]["Type"]}
    grown = True
    while grown:
        grown = False
        for title in old.keys() & new.keys() - found:
            for name in create_only(old[title]["Type"]):
                was, now = (each[title].get("Properties", {}).get(name) for each in (old, new))
                if was != now or set(references(now)) & found:
                    found.add(title)
                    grown = True
                    break
    return found


def stateful(titles: set[str]) -> set[str]:
    resources = with_values(())["Resources"]
    return {title for title in titles if resources[title]["Type"] in STATEFUL}


@pytest.mark.parametrize("name", sorted(parameters().keys() - FOLLOWERS))
def test_no_parameter_replaces_a_resource_that_keeps_state(name: str) -> None:
    """Replace nothing with state. CloudFormation refuses to replace the VPC while database and broker are in it."""
    changes = {name: other_value(name), **TOGETHER.get(name, {})}
    after = with_values(tuple(sorted(changes.items())))
    assert after["Resources"] != with_values(())["Resources"]
    assert stateful(replaced(with_values(()), after)) == LOST.get(name, set())


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("ImageUri", {"AirflowTaskDefinition", "FlowerTaskDefinition", "WorkerTaskDefinition"}),
        ("BalancerScheme", {"Balancer", "BalancerRedirect", "FlowerListener", "WebserverListener"}),
        ("DatabaseInstanceClass", set()),
        ("BrokerNodeType", set()),
        ("WorkerMax", {"AirflowTaskDefinition"}),
    ],
)
def test_a_parameter_replaces_these_resources_but_no_service(name: str, titles: set[str]) -> None:
    after = with_values(((name, other_value(name)),))
    assert replaced(with_values(()), after) >= titles
    kept = {"AirflowService", "WorkerService", "FlowerService", "Cluster"}
    assert replaced(with_values(()), after) & kept == set()


@pytest.mark.parametrize(
    "name",
    ["WorkerMin", "WorkerMax", "PollSeconds", "ScaleInAfterSeconds", "MaxWorkerAgeHours", "RolloutPatienceMinutes"],
)
def test_a_limit_of_scaling_replaces_no_worker(name: str) -> None:
    after = with_values(((name, other_value(name)),))
    before = with_values(())["Resources"]
    assert after["Resources"]["AutoscalerFunction"] != before["AutoscalerFunction"]
    assert after["Resources"]["WorkerTaskDefinition"] == before["WorkerTaskDefinition"]


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("AirflowSettings", {"AirflowTaskDefinition"}),
        ("TaskSettings", {"AirflowTaskDefinition", "WorkerTaskDefinition"}),
    ],
)
def test_a_setting_of_airflow_replaces_the_containers_that_read_it(name: str, titles: set[str]) -> None:
    before, after = with_values(()), with_values(((name, other_value(name)),))
    definitions = {title for title in before["Resources"] if title.endswith("TaskDefinition")}
    changed = {title for title in definitions if after["Resources"][title] != before["Resources"][title]}
    assert changed == titles


def test_policies_of_a_pool_change_its_role_and_nothing_else() -> None:
    before, after = with_values(()), with_values((("WorkerPolicyArns", other_value("WorkerPolicyArns")),))
    changed = {title for title, each in after["Resources"].items() if each != before["Resources"][title]}
    assert changed == {"WorkerTaskRole"}
    assert replaced(before, after) == set()


def test_another_image_changes_nothing_of_a_worker_service_that_cloudformation_would_wait_for() -> None:
    before, after = with_values(())["Resources"], with_values((("ImageUri", other_value("ImageUri")),))["Resources"]
    assert after["WorkerService"] == before["WorkerService"]
    assert (
        before["WorkerService"]["Properties"]["TaskDefinition"]
        == before["WorkerTaskDefinition"]["Properties"]["Family"]
    )
    assert "WorkerTaskDefinition" in before["WorkerService"]["DependsOn"]  # or the family might not exist yet


def change_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the template before and after the parameter alone changes, where the rules allow that."""
    leader = next((leader for leader, others in TOGETHER.items() if name in FOLLOWERS and name in others), name)
    changes = {leader: other_value(leader), **TOGETHER.get(leader, {})}
    if leader == name:
        return with_values(()), with_values(tuple(sorted(changes.items())))
    value = changes[name]
    other = OTHER.get(name) or (",".join(reversed(value.split(","))) if "," in value else f"{value}2")
    return with_values(tuple(sorted(changes.items()))), with_values(tuple(sorted({**changes, name: other}.items())))


def changes_a_worker_service(name: str) -> bool:
    """Return whether another value of the parameter changes properties of the service, or what they refer to."""
    before, after = change_of(name)
    was, now = (each["Resources"]["WorkerService"]["Properties"] for each in (before, after))
    return bool(was != now or set(references(now)) & replaced(before, after))


def test_the_page_on_deployments_lists_what_lets_cloudformation_wait_for_workers() -> None:
    found = {name for name in parameters() if changes_a_worker_service(name)}
    page = (ROOT / "docs" / "deploying.md").read_text()
    (listed,) = re.findall(r"CloudFormation waits for workers\*\* only where .*:\n((?:  - .*\n)+)", page)
    assert set(re.findall(r"`([A-Z]\w+)`", listed)) == found
    assert "the stack's tags" in listed  # CloudFormation gives them to each service


def test_earlier_revisions_of_workers_are_kept_and_no_others() -> None:
    definitions = {t: r for t, r in with_values(())["Resources"].items() if r["Type"] == "AWS::ECS::TaskDefinition"}
    kept = {title for title, each in definitions.items() if each.get("UpdateReplacePolicy") == "Retain"}
    assert kept == {"WorkerTaskDefinition"}
    assert definitions["WorkerTaskDefinition"]["DeletionPolicy"] == "Delete"  # also of one that is rolled back


def test_the_schemas_say_what_replaces_a_database() -> None:
    before = with_values(())
    after = copy.deepcopy(before)
    after["Resources"]["Database"]["Properties"]["MasterUsername"] = "another"
    assert stateful(replaced(before, after)) == {"Database"}
