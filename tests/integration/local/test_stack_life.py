"""The whole template: first deployment, failed creation, update, failed update, deletion, in the order that matters."""

import copy
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.support import rendered
from tests.support.aws_api import AwsApi, aws_api

REGION = "us-east-1"
IMAGE, NEXT_IMAGE = "registry/airflow:1", "registry/airflow:2"
# Cannot be created: there is no such task definition.
BROKEN = {
    "Type": "AWS::ECS::Service",
    "DependsOn": ["FlowerService", "AirflowService", "WorkerService", "Balancer"],
    "Properties": {"Cluster": {"Ref": "Cluster"}, "TaskDefinition": "nothing:1"},
}
KEPT_ON_DELETION = {"AccessLogBucket", "DagBucket", "FernetSecret", "Key", "LogBucket", "XComBucket"}


@dataclass
class Account:
    """An account with the stack's code in a bucket."""

    api: AwsApi

    def carry_out(self, stack: str, kind: str = "CREATE", *, broken: bool = False, **parameters: str) -> str:
        template = copy.deepcopy(rendered.deployed())
        template.pop("Transform", None)
        if broken:
            template["Resources"]["Broken"] = BROKEN
        made = self.api.carry_out(stack, json.dumps(template), kind, **{"ImageUri": IMAGE, **parameters})
        return str(made["StackStatus"])

    def delete(self, stack: str) -> str:
        cloudformation = self.api.client("cloudformation")
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        cloudformation.delete_stack(StackName=stack)
        return str(self.api.settled(found["StackId"])["StackStatus"])

    def events(self, stack: str) -> list[tuple[str, str]]:
        """Return (resource, status) of all events, oldest first."""
        pages = self.api.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        newest_first = [event for page in pages for event in page["StackEvents"]]
        return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(newest_first)]

    def stack_id(self, stack: str) -> str:
        (found,) = self.api.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return str(found["StackId"])

    def physical(self, stack: str) -> dict[str, str]:
        found = self.api.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def services(self, stack: str) -> dict[str, dict[str, Any]]:
        names = self.physical(stack)
        wanted = [names[title] for title in ("AirflowService", "WorkerService", "FlowerService")]
        described = self.api.client("ecs").describe_services(cluster=names["Cluster"], services=wanted)["services"]
        return {each["serviceName"]: each for each in described}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with aws_api() as running:
        api = replace(running, region=REGION)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("handler.py", "")
        api.client("s3").create_bucket(Bucket=rendered.CODE_LOCATION["Bucket"])
        location = {"Bucket": rendered.CODE_LOCATION["Bucket"], "Key": rendered.CODE_LOCATION["Key"]}
        api.client("s3").put_object(**location, Body=package.getvalue())
        yield Account(api)


def revisions(ecs: Any, family: str) -> list[str]:
    """Return the ARNs of a family's active revisions."""
    answer = ecs.list_task_definitions(familyPrefix=family.rpartition("/")[2], status="ACTIVE")
    return list(answer["taskDefinitionArns"])


def before(events: list[tuple[str, str]], first: tuple[str, str], second: tuple[str, str]) -> bool:
    return events.index(first) < events.index(second)


def done(title: str) -> tuple[str, str]:
    return title, "CREATE_COMPLETE"


def begun(title: str) -> tuple[str, str]:
    return title, "CREATE_IN_PROGRESS"


@pytest.mark.slow
def test_a_stack_lives_and_ends_in_the_order_that_aws_needs(account: Account) -> None:
    assert account.carry_out("life") == "CREATE_COMPLETE"
    events = account.events("life")
    # The balancer writes at once; S3 and flow logs are refused without the policy, too.
    assert before(events, done("AccessLogBucketPolicy"), begun("Balancer"))
    assert before(events, done("AccessLogBucketPolicy"), begun("LogBucket"))
    # ECS refuses a target group without a listener; the subnets must lead out before anything runs in them.
    assert before(events, done("WebserverListener"), begun("AirflowService"))
    assert before(events, done("NetworkPrivateRouteA"), begun("NetworkPrivateSubnetA"))
    # A user must exist before the broker knows its group.
    assert before(events, done("BrokerUsers"), begun("Broker"))

    services = account.services("life")
    assert account.carry_out("life", "UPDATE", ImageUri=NEXT_IMAGE) == "UPDATE_COMPLETE"
    after = account.services("life")
    assert after.keys() == services.keys()
    changed = {name for name in services if after[name]["taskDefinition"] != services[name]["taskDefinition"]}
    assert {name.split("-")[1] for name in changed} == {"AirflowService", "FlowerService"}
    # The workers' revision is told to the autoscaler, before the services change. The one before stays active.
    assert before(
        account.events("life"), ("AutoscalerFunction", "UPDATE_COMPLETE"), ("AirflowService", "UPDATE_IN_PROGRESS")
    )
    ecs = account.api.client("ecs")
    (family,) = {each["taskDefinition"].rsplit(":", 1)[0] for name, each in after.items() if name not in changed}
    assert revisions(ecs, family) == [f"{family}:1", f"{family}:2"]

    assert account.carry_out("life", "UPDATE", broken=True) == "UPDATE_ROLLBACK_COMPLETE"
    restored = account.services("life")
    assert {each["taskDefinition"] for each in restored.values()} == {each["taskDefinition"] for each in after.values()}
    assert account.carry_out("life", "UPDATE", broken=True, ImageUri=IMAGE) == "UPDATE_ROLLBACK_COMPLETE"
    assert revisions(ecs, family) == [f"{family}:1", f"{family}:2"]  # the third was of the update that is rolled back

    identifier = account.stack_id("life")
    assert account.delete("life") == "DELETE_COMPLETE"
    events = account.events(identifier)
    skipped = {title for title, status in events if status == "DELETE_SKIPPED"}
    assert skipped == KEPT_ON_DELETION | {"WorkerTaskDefinition"}  # the earlier revision
    # Lambda's interfaces hang in the group until some time after the functions; Lambda deletes them with their roles.
    for role in ("AutoscalerRole", "VersionCheckRole", "SleeperRole"):
        function = role.replace("Role", "Function")
        assert before(events, (function, "DELETE_COMPLETE"), ("FunctionsGroup", "DELETE_IN_PROGRESS"))
        assert before(events, ("FunctionsGroup", "DELETE_COMPLETE"), (role, "DELETE_IN_PROGRESS"))
    assert before(events, ("AirflowService", "DELETE_COMPLETE"), ("Cluster", "DELETE_IN_PROGRESS"))
    snapshots = account.api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert len(snapshots) == 1


@pytest.mark.slow
def test_a_failed_first_deployment_leaves_a_bucket_a_snapshot_and_a_key_to_be_deleted(account: Account) -> None:
    assert account.carry_out("failing", broken=True) == "ROLLBACK_COMPLETE"
    skipped = {title for title, status in account.events("failing") if status == "DELETE_SKIPPED"}
    assert skipped == {"AccessLogBucket"}
    assert account.delete("failing") == "DELETE_COMPLETE"
    assert account.carry_out("failing") == "CREATE_COMPLETE"  # what is left is not in the way


@pytest.mark.slow
def test_a_first_deployment_with_deletion_protection_cannot_be_rolled_back_and_has_a_way_out(account: Account) -> None:
    assert account.carry_out("locked", broken=True, DeletionProtection="true") == "ROLLBACK_FAILED"
    names = account.physical("locked")
    failed = {title for title, status in account.events("locked") if status == "DELETE_FAILED"}
    assert failed == {"Balancer", "Database"}
    database = {"DBInstanceIdentifier": names["Database"]}
    account.api.client("rds").modify_db_instance(**database, DeletionProtection=False, ApplyImmediately=True)
    unprotected = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    elbv2 = account.api.client("elbv2")
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=names["Balancer"], Attributes=unprotected)
    assert account.delete("locked") == "DELETE_COMPLETE"
