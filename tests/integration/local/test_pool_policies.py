"""What the policies of a pool let its tasks do, in the deployed template with IAM enforced, and what no policy does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.iam.sessions import TASKS, RoleSession, Service
from stack.sections.pools import DeclaredPool
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools

DECLARED = (
    DeclaredPool(name="worker", queues=("default",)),
    DeclaredPool(name="lake", queues=("lake",)),
    DeclaredPool(name="wide", queues=("wide",)),
)
TEAMS_BUCKET, JOB_ROLE = "teams-lake", "teams-job"
EVERYTHING = "arn:aws:iam::aws:policy/AdministratorAccess"
NO_POLICY, DENIED = "no identity-based policy allows", "an explicit deny in an identity-based policy"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    api: AwsApi
    outputs: dict[str, str]

    def task(self, pool: str, service: str) -> Any:
        """Return a client with the credentials that a task of the pool reads from its container's endpoint."""
        at = Service(TASKS, endpoint=f"http://localhost:{self.api.port}", region=self.api.region)
        return RoleSession(at, self.outputs[f"{pool}TaskRoleArn"], session="task").client(service)

    def physical(self, title: str) -> str:
        found = self.api.client("cloudformation").describe_stack_resource(StackName="pools", LogicalResourceId=title)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with aws_api() as api:
        s3, iam = api.client("s3"), api.client("iam")
        s3.create_bucket(Bucket=TEAMS_BUCKET, CreateBucketConfiguration={"LocationConstraint": api.region})
        s3.put_object(Bucket=TEAMS_BUCKET, Key="a", Body=b"fish")
        reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{TEAMS_BUCKET}/*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
        arn = iam.create_policy(PolicyName="lake", PolicyDocument=document)["Policy"]["Arn"]
        stack = deploy_pools(api, DECLARED, LakePolicyArns=arn, WidePolicyArns=f"{arn},{EVERYTHING}")
        yield Deployed(api=api, outputs=outputs(stack))


def refusal(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Message"])


def test_a_task_reads_a_bucket_that_those_of_another_pool_may_not(deployed: Deployed) -> None:
    asked = {"Bucket": TEAMS_BUCKET, "Key": "a"}
    assert deployed.task("Lake", "s3").get_object(**asked)["Body"].read() == b"fish"
    assert deployed.task("Wide", "s3").get_object(**asked)["Body"].read() == b"fish"
    assert NO_POLICY in refusal(partial(deployed.task("Worker", "s3").get_object, **asked))
    assert NO_POLICY in refusal(partial(deployed.task("Lake", "s3").put_object, **asked, Body=b""))


def test_a_bucket_lets_a_pool_in_by_the_roles_output(deployed: Deployed) -> None:
    """As a bucket of another account does, whose policy names the role."""
    s3, bucket = deployed.api.client("s3"), "others"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": deployed.api.region})
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": deployed.outputs["WorkerTaskRoleArn"]},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert deployed.task("Worker", "s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    assert NO_POLICY in refusal(partial(deployed.task("Lake", "s3").get_object, Bucket=bucket, Key="a"))


@pytest.mark.parametrize("title", ["JwtSecret", "BrokerSchedulerSecret", "FernetSecret"])
def test_no_policy_reads_a_secret_of_the_stack(deployed: Deployed, title: str) -> None:
    read = partial(deployed.task("Wide", "secretsmanager").get_secret_value, SecretId=deployed.physical(title))
    assert DENIED in refusal(read)
    assert "kms:Decrypt" in refusal(read)


def test_a_secret_of_the_teams_can_be_read(deployed: Deployed) -> None:
    deployed.api.client("secretsmanager").create_secret(Name="teams", SecretString="fish")
    found = deployed.task("Wide", "secretsmanager").get_secret_value(SecretId="teams")
    assert found["SecretString"] == "fish"


def test_no_policy_changes_the_stack(deployed: Deployed) -> None:
    """Each would be a way to the secrets, or end tasks of others."""
    cluster, role = deployed.outputs["ClusterName"], deployed.physical("WorkerExecutionRole")
    iam, ecs = deployed.task("Wide", "iam"), deployed.task("Wide", "ecs")
    calls = (
        partial(iam.delete_role_policy, RoleName=deployed.physical("WideTaskRole"), PolicyName="permissions"),
        partial(iam.attach_role_policy, RoleName=role, PolicyArn=EVERYTHING),
        partial(ecs.update_service, cluster=cluster, service=deployed.outputs["WorkerServiceName"], desiredCount=0),
        partial(deployed.task("Wide", "lambda").invoke, FunctionName=deployed.physical("AutoscalerFunction")),
        partial(deployed.task("Wide", "cloudformation").delete_stack, StackName="pools"),
        partial(
            deployed.task("Wide", "rds").modify_db_instance,
            DBInstanceIdentifier=deployed.physical("Database"),
            MasterUserPassword="mine-now",
        ),
        partial(
            deployed.task("Wide", "s3").put_bucket_versioning,
            Bucket=deployed.physical("LogBucket"),
            VersioningConfiguration={"Status": "Suspended"},
        ),
        partial(deployed.task("Wide", "s3").delete_object, Bucket=deployed.physical("LogBucket"), Key="logs/a"),
    )
    assert [said for said in map(refusal, calls) if DENIED not in said] == []


def test_no_policy_reads_or_removes_the_logs_of_who_reached_what(deployed: Deployed) -> None:
    s3, bucket = deployed.task("Wide", "s3"), deployed.physical("AccessLogBucket")
    assert DENIED in refusal(partial(s3.list_objects_v2, Bucket=bucket))
    assert DENIED in refusal(partial(s3.put_object, Bucket=bucket, Key="a", Body=b""))
    assert DENIED in refusal(partial(s3.delete_object, Bucket=bucket, Key="a"))


def test_a_worker_protects_itself_and_no_policy_protects_those_of_another_pool(deployed: Deployed) -> None:
    ecs, cluster = deployed.api.client("ecs"), deployed.outputs["ClusterName"]

    def started(pool: str) -> str:
        name = deployed.outputs[f"{pool}ServiceName"]
        (service,) = ecs.describe_services(cluster=cluster, services=[name])["services"]
        (task,) = ecs.run_task(
            cluster=cluster,
            taskDefinition=service["taskDefinition"],
            capacityProviderStrategy=service["capacityProviderStrategy"],
            group=f"service:{name}",
            startedBy=service["deployments"][0]["id"],
            tags=[{"key": "FleetPool", "value": pool.lower()}],
        )["tasks"]
        ecs.submit_task_state_change(cluster=cluster, task=task["taskArn"], status="RUNNING")
        return str(task["taskArn"])

    protect = {
        pool: partial(deployed.task(pool, "ecs").update_task_protection, cluster=cluster, protectionEnabled=True)
        for pool in ("Worker", "Wide")
    }
    own = {pool: started(pool) for pool in protect}
    for pool, call in protect.items():
        assert call(tasks=[own[pool]])["protectedTasks"][0]["protectionEnabled"] is True
    assert DENIED in refusal(partial(protect["Wide"], tasks=[own["Worker"]]))
    assert DENIED in refusal(partial(protect["Worker"], tasks=[own["Wide"]]))


def test_a_task_still_writes_and_reads_its_logs(deployed: Deployed) -> None:
    for pool in ("Worker", "Lake", "Wide"):
        s3, log = deployed.task(pool, "s3"), {"Bucket": deployed.physical("LogBucket"), "Key": f"logs/{pool}"}
        s3.put_object(**log, Body=b"line")
        assert s3.get_object(**log)["Body"].read() == b"line"
