"""What the policies of a pool let its tasks do, in the deployed template with IAM enforced, and what no policy does."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.iam.sessions import TASKS, RoleSession, Service
from project.paths import ROOT
from stack.lib.started_jobs import BatchJob, EcsTask
from stack.sections.pools import DeclaredPool
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools

DECLARED = (
    DeclaredPool(name="worker", queues=("default",)),
    DeclaredPool(name="lake", queues=("lake",)),
    DeclaredPool(name="wide", queues=("wide",)),
    DeclaredPool(
        name="jobs",
        queues=("jobs",),
        starts=(
            EcsTask(cluster="teams", family="report", roles=("teams-job",)),
            BatchJob(queue="nightly", definition="rebuild"),
        ),
    ),
)
TEAMS_BUCKET, JOB_ROLE, OTHER_ROLE = "teams-lake", "teams-job", "teams-other"
TEAMS_CLUSTER = "teams"
PAGE = ROOT / "docs" / "other-accounts.md"
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
        _make_jobs(api)
        assume = iam.create_policy(PolicyName="assume", PolicyDocument=json.dumps(written(api)[1]))["Policy"]["Arn"]
        stack = deploy_pools(
            api, DECLARED, LakePolicyArns=arn, WidePolicyArns=f"{arn},{EVERYTHING}", JobsPolicyArns=assume
        )
        yield Deployed(api=api, outputs=outputs(stack))


def written(api: AwsApi) -> tuple[Any, Any, Any]:
    """Return the trust policy, the policy and the connection's extra that the page shows, for this account."""
    account = api.client("sts").get_caller_identity()["Account"]
    text = PAGE.read_text().replace("210987654321", account)
    trust, policy, extra = map(json.loads, re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    return trust, policy, extra


def _make_jobs(api: AwsApi) -> None:
    """Make what the team has beside the stack: roles, ECS task definitions, a Batch queue."""
    iam, ecs, batch = (api.client(service) for service in ("iam", "ecs", "batch"))
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arns = {
        role: iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        for role in (JOB_ROLE, OTHER_ROLE)
    }
    ecs.create_cluster(clusterName=TEAMS_CLUSTER)
    for family, role in (("report", JOB_ROLE), ("other", OTHER_ROLE)):
        ecs.register_task_definition(
            family=family,
            taskRoleArn=arns[role],
            containerDefinitions=[{"name": "main", "image": "report:1", "memory": 128}],
        )
    environment = batch.create_compute_environment(
        computeEnvironmentName="teams", type="UNMANAGED", serviceRole=arns[OTHER_ROLE]
    )["computeEnvironmentArn"]
    for queue in ("nightly", "other"):
        order = [{"order": 1, "computeEnvironment": environment}]
        batch.create_job_queue(jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order)
    for definition in ("rebuild", "other"):
        batch.register_job_definition(
            jobDefinitionName=definition,
            type="container",
            containerProperties={"image": "report:1", "memory": 128, "vcpus": 1},
        )


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
            deployed.task("Wide", "sns").publish, TopicArn=deployed.outputs["AlarmTopicArn"], Message="all is well"
        ),
        partial(deployed.task("Wide", "sns").delete_topic, TopicArn=deployed.outputs["AlarmTopicArn"]),
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


def test_tasks_read_delivered_dags_and_no_policy_changes_them(deployed: Deployed) -> None:
    """Who could write there would choose the code that all pools run."""
    bucket, pointer = deployed.physical("DagBucket"), "bundles/dags/current.json"
    deployed.api.client("s3").put_object(Bucket=bucket, Key=pointer, Body=b"{}")
    for pool in ("Worker", "Lake", "Wide"):
        s3 = deployed.task(pool, "s3")
        assert s3.get_object(Bucket=bucket, Key=pointer)["Body"].read() == b"{}"
        assert "does not exist" in refusal(partial(s3.get_object, Bucket=bucket, Key="bundles/dags/manifests/gone"))
    s3 = deployed.task("Wide", "s3")
    assert DENIED in refusal(partial(s3.put_object, Bucket=bucket, Key=pointer, Body=b""))
    assert DENIED in refusal(partial(s3.delete_object, Bucket=bucket, Key=pointer))
    assert DENIED in refusal(partial(s3.put_bucket_policy, Bucket=bucket, Policy="{}"))


def test_large_xcoms_cross_pools_and_no_policy_does_more_with_them(deployed: Deployed) -> None:
    """A pool writes below its own name and reads what it has a name of; the widest policy adds nothing."""
    bucket, name = deployed.physical("XComBucket"), "0123456789abcdef0123456789abcdef"
    for title, pool in (("Worker", "worker"), ("Wide", "wide")):
        deployed.task(title, "s3").put_object(Bucket=bucket, Key=f"{pool}/{name}", Body=b"[1]")
    for title in ("Worker", "Lake", "Wide"):
        for pool in ("worker", "wide"):
            found = deployed.task(title, "s3").get_object(Bucket=bucket, Key=f"{pool}/{name}")
            assert found["Body"].read() == b"[1]"
    for title, others in (("Worker", "wide"), ("Wide", "worker")):
        s3 = deployed.task(title, "s3")
        put = partial(s3.put_object, Bucket=bucket, Body=b"")
        for key in (f"{others}/{name}", f"{title.lower()}x/{name}", name):
            assert "an explicit deny in a resource-based policy" in refusal(partial(put, Key=key))
        assert DENIED in refusal(partial(s3.list_objects_v2, Bucket=bucket))
        assert DENIED in refusal(partial(s3.delete_object, Bucket=bucket, Key=f"{others}/{name}"))
        assert DENIED in refusal(partial(s3.get_object, Bucket=bucket, Key=f"{others}/unknown"))
        assert DENIED in refusal(partial(s3.put_bucket_policy, Bucket=bucket, Policy="{}"))


def test_a_task_starts_follows_and_stops_the_ecs_tasks_that_its_pool_declares(deployed: Deployed) -> None:
    ecs = deployed.task("Jobs", "ecs")
    (started,) = ecs.run_task(cluster=TEAMS_CLUSTER, taskDefinition="report")["tasks"]
    task = {"cluster": TEAMS_CLUSTER, "task": started["taskArn"]}
    assert ecs.list_tasks(cluster=TEAMS_CLUSTER)["taskArns"] == [started["taskArn"]]
    (seen,) = ecs.describe_tasks(cluster=TEAMS_CLUSTER, tasks=[started["taskArn"]])["tasks"]
    assert seen["taskArn"] == started["taskArn"]
    assert ecs.stop_task(**task)["task"]["taskArn"] == started["taskArn"]


def test_it_starts_no_other_and_passes_no_other_role(deployed: Deployed) -> None:
    ecs, iam = deployed.task("Jobs", "ecs"), deployed.api.client("iam")
    job, other, own = (
        iam.get_role(RoleName=name)["Role"]["Arn"]
        for name in (JOB_ROLE, OTHER_ROLE, deployed.physical("AirflowTaskRole"))
    )
    (definition, *_) = deployed.api.client("ecs").list_task_definitions(familyPrefix="pools-Worker")[
        "taskDefinitionArns"
    ]
    report = {"cluster": TEAMS_CLUSTER, "taskDefinition": "report"}
    refused = {
        "another family": partial(ecs.run_task, cluster=TEAMS_CLUSTER, taskDefinition="other"),
        "another cluster": partial(ecs.run_task, cluster="default", taskDefinition="report"),
        "the stack's cluster": partial(ecs.run_task, cluster=deployed.outputs["ClusterName"], taskDefinition="report"),
        "a worker's definition": partial(ecs.run_task, cluster=TEAMS_CLUSTER, taskDefinition=definition),
        "another role": partial(ecs.run_task, **report, overrides={"taskRoleArn": other}),
        "the role of airflow": partial(ecs.run_task, **report, overrides={"taskRoleArn": own}),
        "another role for ECS": partial(ecs.run_task, **report, overrides={"executionRoleArn": other}),
        "a definition of its own": partial(
            ecs.register_task_definition, family="report", taskRoleArn=job, containerDefinitions=[]
        ),
        "the stack's tasks": partial(ecs.stop_task, cluster=deployed.outputs["ClusterName"], task="0123"),
    }
    assert {what: "not authorized" in refusal(call) for what, call in refused.items()} == dict.fromkeys(refused, True)
    for pool in ("Worker", "Lake"):
        assert NO_POLICY in refusal(partial(deployed.task(pool, "ecs").run_task, **report))


def test_no_policy_runs_the_stacks_definitions_or_roles_or_anything_in_its_cluster(deployed: Deployed) -> None:
    ecs, own = deployed.task("Wide", "ecs"), deployed.physical("AirflowTaskRole")
    role = deployed.api.client("iam").get_role(RoleName=own)["Role"]["Arn"]
    (definition, *_) = deployed.api.client("ecs").list_task_definitions(familyPrefix="pools-Worker")[
        "taskDefinitionArns"
    ]
    assert ecs.run_task(cluster=TEAMS_CLUSTER, taskDefinition="other")["tasks"]
    for call in (
        partial(ecs.run_task, cluster=TEAMS_CLUSTER, taskDefinition=definition),
        partial(ecs.run_task, cluster=TEAMS_CLUSTER, taskDefinition="other", overrides={"taskRoleArn": role}),
        partial(ecs.run_task, cluster=deployed.outputs["ClusterName"], taskDefinition="other"),
    ):
        assert DENIED in refusal(call)


def test_a_task_submits_the_batch_jobs_that_its_pool_declares_and_no_others(deployed: Deployed) -> None:
    batch = deployed.task("Jobs", "batch")
    asked = {"jobName": "rebuild-all", "jobQueue": "nightly", "jobDefinition": "rebuild"}
    for definition in ("rebuild", "rebuild:1"):
        job = batch.submit_job(**{**asked, "jobDefinition": definition})["jobId"]
        assert batch.describe_jobs(jobs=[job])["jobs"][0]["jobId"] == job
    for other in ({"jobQueue": "other"}, {"jobDefinition": "other"}, {"jobDefinition": "other:1"}):
        assert NO_POLICY in refusal(partial(batch.submit_job, **{**asked, **other}))
    assert NO_POLICY in refusal(partial(deployed.task("Lake", "batch").submit_job, **asked))


def test_a_role_of_another_account_lets_in_one_pool_with_the_external_id_as_the_page_says(deployed: Deployed) -> None:
    """In one account here: a role of the same account needs no less."""
    trust, _, extra = written(deployed.api)
    (statement,) = trust["Statement"]
    statement["Principal"] = {"AWS": deployed.outputs["JobsTaskRoleArn"]}
    name = extra["role_arn"].rpartition("/")[2]
    deployed.api.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))

    def assume(pool: str, **more: str) -> Any:
        return deployed.task(pool, "sts").assume_role(RoleArn=extra["role_arn"], RoleSessionName="task", **more)

    assert assume("Jobs", **extra["assume_role_kwargs"])["Credentials"]["AccessKeyId"]
    for pool, more in (("Jobs", {}), ("Jobs", {"ExternalId": "other"}), ("Worker", extra["assume_role_kwargs"])):
        assert "sts:AssumeRole" in refusal(partial(assume, pool, **more))
    assert "sts:AssumeRole" in refusal(partial(assume, "Wide", **extra["assume_role_kwargs"]))
