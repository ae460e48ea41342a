"""A copy of a database in the local AWS API: what a drill makes of it, and that it is removed whatever happens."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from local.aws.restored_databases import ADDRESS
from ops.drill.__main__ import answer_of, report
from ops.drill.restored import NotRemoved, NotRestored, Rds
from ops.ecs_task import NotRun
from tests.support.aws_api import AwsApi


class Site:
    """A database with a managed password, and the copies beside it."""

    def __init__(self, api: AwsApi) -> None:
        self.api, self.name = api, f"d{uuid.uuid4().hex[:8]}"
        self.rds = api.client("rds")
        self.said: list[str] = []
        self.rds.create_db_instance(
            DBInstanceIdentifier=self.name,
            DBInstanceClass="db.t4g.small",
            Engine="postgres",
            EngineVersion="18",
            AllocatedStorage=20,
            MasterUsername="airflow",
            ManageMasterUserPassword=True,
            Port=5433,
            DBSubnetGroupName=self._subnets(),
            DeletionProtection=True,
        )

    def _subnets(self) -> str:
        ec2 = self.api.client("ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        self.rds.create_db_subnet_group(
            DBSubnetGroupName=self.name, DBSubnetGroupDescription="Private", SubnetIds=subnets
        )
        return self.name

    def snapshot(self, name: str) -> None:
        self.rds.create_db_snapshot(DBSnapshotIdentifier=f"{self.name}-{name}", DBInstanceIdentifier=self.name)

    def copies(self) -> list[str]:
        found = [each["DBInstanceIdentifier"] for each in self.rds.describe_db_instances()["DBInstances"]]
        return [name for name in found if name.startswith(f"{self.name}-")]

    def make_server(self, _seconds: float) -> None:
        """Do what the local stack does between two questions: a copy gets its server."""
        for name in self.copies():
            (copy,) = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
            tag = {"Key": ADDRESS, "Value": "copy.example:5434"}
            self.rds.add_tags_to_resource(ResourceName=copy["DBInstanceArn"], Tags=[tag])

    def drill(
        self, client: Callable[[str], Any] | None = None, *, sleep: Callable[[float], None] | None = None, **more: Any
    ) -> Rds:
        return Rds(
            client=client or self.api.client,
            identifier=self.name,
            say=self.said.append,
            sleep=sleep or self.make_server,
            **more,
        )


@pytest.fixture
def site(api: AwsApi) -> Site:
    return Site(api)


def test_the_newest_snapshot_is_restored_closed_and_removed(site: Site) -> None:
    site.snapshot("old")
    site.snapshot("new")
    drill = site.drill()
    snapshot = drill.newest_snapshot()
    assert snapshot.name == f"{site.name}-new"
    with drill.beside(snapshot, seconds=60) as address:
        assert (address.host, address.port) == ("copy.example", 5434)
        (name,) = site.copies()
        (copy,) = site.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        (original,) = site.rds.describe_db_instances(DBInstanceIdentifier=site.name)["DBInstances"]
        assert not copy.get("PubliclyAccessible")
        assert copy["DBSubnetGroup"]["DBSubnetGroupName"] == original["DBSubnetGroup"]["DBSubnetGroupName"]
        assert copy["VpcSecurityGroups"] == original["VpcSecurityGroups"]
        assert original["Endpoint"]["Address"] != "copy.example"
    assert site.copies() == []
    assert f"{name} is creating" in site.said


def test_a_copy_is_removed_after_an_error_and_an_interruption(site: Site) -> None:
    site.snapshot("a")

    def examine(error: BaseException) -> None:
        drill = site.drill()
        with drill.beside(drill.newest_snapshot(), seconds=60):
            assert site.copies()
            raise error

    for error in (NotRun("the container did not run"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            examine(error)
        assert site.copies() == []


def test_a_copy_that_does_not_come_up_in_time_is_removed(site: Site) -> None:
    site.snapshot("a")
    drill = site.drill(sleep=lambda _seconds: None)
    with pytest.raises(NotRestored, match="is still creating"), drill.beside(drill.newest_snapshot(), seconds=0):
        pytest.fail("there is no server")
    assert site.copies() == []


def test_a_copy_that_cannot_be_removed_is_named(site: Site) -> None:
    site.snapshot("a")
    drill = site.drill(_without(site.api, "rds:DeleteDBInstance"))
    snapshot = drill.newest_snapshot()
    with pytest.raises(NotRemoved) as left, drill.beside(snapshot, seconds=60):
        pass
    (name,) = site.copies()
    assert name in str(left.value)
    assert f"aws rds delete-db-instance --db-instance-identifier {name} --skip-final-snapshot" in str(left.value)
    with pytest.raises(NotRestored, match=f"copy of another drill.*{name}"), drill.beside(snapshot, seconds=60):
        pytest.fail("there is a copy already")
    assert site.copies() == [name]


def test_without_a_snapshot_nothing_is_restored(site: Site) -> None:
    site.rds.delete_db_snapshot(DBSnapshotIdentifier=site.drill().newest_snapshot().name)
    with pytest.raises(NotRestored, match="has no snapshot: nothing could be restored"):
        site.drill().newest_snapshot()


def _without(api: AwsApi, action: str) -> Callable[[str], Any]:
    """Return a maker of clients that may do everything but this action."""
    iam, name = api.client("iam"), f"operator{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": "*"},
    ]
    document = {"Version": "2012-10-17", "Statement": [trust]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    given = api.client("sts").assume_role(RoleArn=role, RoleSessionName="operator")["Credentials"]
    session: Any = boto3.session.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=api.region,
    )
    return lambda service: session.client(service, endpoint_url=f"http://localhost:{api.port}")


def test_the_answer_is_the_last_line_that_is_json() -> None:
    assert answer_of(["restored: 3 DAGs", '{"counts": {}}', '{"problems": []}', "bye"]) == {"problems": []}
    with pytest.raises(NotRun, match="the container gave no answer: entrypoint drill: no"):
        answer_of(["entrypoint drill: no"])
    with pytest.raises(NotRun, match="its log is empty"):
        answer_of([])


def test_a_report_names_what_is_there_and_each_fault() -> None:
    counts = {"DAGs": 3, "users": None}
    assert report({"counts": counts, "problems": []}) == [
        "the copy has 3 DAGs",
        "the copy is whole, and this release runs on it",
    ]
    assert report({"counts": counts, "problems": ["missing: table log"]}) == [
        "the copy has 3 DAGs",
        "  missing: table log",
        "NOT WHOLE: 1 faults",
    ]
