"""The local AWS API refuses what the policies of the caller's role do not allow, in the words and formats of AWS."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from functools import partial
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws.backend.settings import ACCESS_PATH
from local.aws.iam.sessions import FUNCTIONS, TASKS, RoleSession, Service
from local.stack.refusals import Refusals
from tests.support.aws_api import AwsApi

ACCOUNT = "123456789012"


class Role:
    """A role that a container has, and its session."""

    def __init__(self, api: AwsApi, *statements: dict[str, Any]) -> None:
        self._api, self._iam, self.name = api, api.client("iam"), f"r{uuid.uuid4().hex[:8]}"
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": TASKS}}
        made = self._iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=policy(trust))
        self.allow(*statements)
        service = Service(TASKS, endpoint=f"http://localhost:{api.port}", region=api.region)
        self.session = RoleSession(service, made["Role"]["Arn"], session="me")
        self.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.name}/me"

    def allow(self, *statements: dict[str, Any]) -> None:
        document = policy(*statements or (statement("ecs:Nothing"),))
        self._iam.put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=document)


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(*actions: str, on: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    """Return status, code and message of the error that the call raises."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "status", "code", "action", "resource"),
    [
        (
            *("ecs", "list_tasks", {"cluster": "c"}, 400, "AccessDeniedException"),
            *("ecs:ListTasks", "*"),
        ),
        (
            *("sns", "publish", {"TopicArn": f"arn:aws:sns:eu-central-1:{ACCOUNT}:t", "Message": "m"}),
            *(403, "AccessDenied", "sns:Publish", f"arn:aws:sns:eu-central-1:{ACCOUNT}:t"),
        ),
        (
            *("s3", "put_object", {"Bucket": "b", "Key": "k", "Body": b"x"}, 403, "AccessDenied"),
            *("s3:PutObject", "arn:aws:s3:::b/k"),
        ),
        (
            *("lambda", "invoke", {"FunctionName": "f"}, 403, "AccessDeniedException"),
            *("lambda:InvokeFunction", f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:f"),
        ),
        (
            *("rds", "stop_db_instance", {"DBInstanceIdentifier": "d"}, 403, "AccessDenied"),
            *("rds:StopDBInstance", f"arn:aws:rds:eu-central-1:{ACCOUNT}:db:d"),
        ),
    ],
)
def test_a_refusal_reads_as_that_of_the_service(
    api: AwsApi,
    service: str,
    operation: str,
    arguments: dict[str, Any],
    status: int,
    code: str,
    action: str,
    resource: str,
) -> None:
    role = Role(api)
    said = refusal(getattr(role.session.client(service), operation), **arguments)
    why = f"because no identity-based policy allows the {action} action"
    message = f"User: {role.arn} is not authorized to perform: {action} on resource: {resource} {why}"
    assert said == (status, code, message)


def test_what_a_policy_allows_is_done_and_told(api: AwsApi) -> None:
    bucket = f"b{uuid.uuid4().hex[:8]}"
    api.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": api.region})
    role = Role(api, statement("s3:PutObject", on=f"arn:aws:s3:::{bucket}/logs/*"))
    s3 = role.session.client("s3")
    s3.put_object(Bucket=bucket, Key="logs/a", Body=b"x")
    assert refusal(s3.put_object, Bucket=bucket, Key="other/a", Body=b"x")[1] == "AccessDenied"
    with urllib.request.urlopen(f"http://localhost:{api.port}{ACCESS_PATH}") as answer:
        access = json.load(answer)
    assert access["used"][role.name] == ["s3:PutObject"]
    (told,) = [message for message in access["refused"] if role.arn in message]
    assert f"perform: s3:PutObject on resource: arn:aws:s3:::{bucket}/other/a" in told


def test_the_stack_tells_of_each_refusal_once(api: AwsApi) -> None:
    role = Role(api)
    said: list[str] = []
    refusals = Refusals(f"http://localhost:{api.port}", said.append)
    for _ in range(2):
        refusal(role.session.client("ecs").list_tasks, cluster="c")
    refusals.start()
    deadline = time.monotonic() + 20
    while not any(role.name in line for line in said):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert sum(role.name in line for line in refusals.seen()) == 1
    refusals.close()
    assert sum(role.name in line for line in said) == 1


def test_an_attached_policy_and_the_boundary_count_in_the_version_in_force(api: AwsApi) -> None:
    role, iam = Role(api), api.client("iam")

    def made(*statements: dict[str, Any]) -> str:
        name = f"p{uuid.uuid4().hex[:8]}"
        return str(iam.create_policy(PolicyName=name, PolicyDocument=policy(*statements))["Policy"]["Arn"])

    attached = made(statement("ecs:ListClusters"))
    iam.attach_role_policy(RoleName=role.name, PolicyArn=attached)
    ecs = role.session.client("ecs")
    ecs.list_clusters()
    iam.put_role_permissions_boundary(RoleName=role.name, PermissionsBoundary=made(statement("s3:*")))
    assert "because no permissions boundary allows" in refusal(ecs.list_clusters)[2]
    iam.delete_role_permissions_boundary(RoleName=role.name)
    document = policy(statement("ecs:Nothing"))
    iam.create_policy_version(PolicyArn=attached, PolicyDocument=document, SetAsDefault=True)
    assert "because no identity-based policy allows" in refusal(ecs.list_clusters)[2]


def test_only_who_may_list_a_bucket_learns_that_an_object_is_not_there(api: AwsApi) -> None:
    bucket = f"b{uuid.uuid4().hex[:8]}"
    api.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": api.region})
    role = Role(api, statement("s3:GetObject"))
    s3 = role.session.client("s3")
    assert refusal(s3.get_object, Bucket=bucket, Key="logs/a")[1] == "AccessDenied"
    role.allow(statement("s3:GetObject", "s3:ListBucket"))
    assert refusal(s3.get_object, Bucket=bucket, Key="logs/a")[1] == "NoSuchKey"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_signed_url_is_as_good_as_who_signed_it(api: AwsApi, version: str) -> None:
    bucket, s3 = f"b{uuid.uuid4().hex[:8]}", api.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": api.region})
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    role = Role(api, statement("s3:GetObject", on=f"arn:aws:s3:::{bucket}/b"))
    given = role.session.credentials()
    session: Any = boto3.session.Session(given.key_id, given.secret, given.token, api.region)
    signer = session.client("s3", endpoint_url=f"http://localhost:{api.port}", config=Config(signature_version=version))
    url = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)  # noqa: S310 - from our own API
    role.allow(statement("s3:GetObject", on=f"arn:aws:s3:::{bucket}/a"))
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - from our own API
        assert answer.read() == b"x"


def test_a_secret_needs_the_right_to_its_key(api: AwsApi) -> None:
    key = api.client("kms").create_key()["KeyMetadata"]
    secret = api.client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString="s", KmsKeyId=key["KeyId"])[
        "ARN"
    ]
    role = Role(api, statement("secretsmanager:GetSecretValue", on=secret))
    said = refusal(role.session.client("secretsmanager").get_secret_value, SecretId=secret)[2]
    assert f"perform: kms:Decrypt on resource: {key['Arn']} " in said
    role.allow(statement("secretsmanager:GetSecretValue", on=secret), statement("kms:Decrypt", on=key["Arn"]))
    assert role.session.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "s"


def test_who_sets_the_task_definition_of_a_service_must_be_allowed_to_pass_its_roles(api: AwsApi) -> None:
    ecs, cluster = api.client("ecs"), f"c{uuid.uuid4().hex[:8]}"
    ecs.create_cluster(clusterName=cluster)
    container = {"name": "worker", "image": "i", "memory": 1, "cpu": 1}
    roles = {f"{of}RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{cluster}-{of}" for of in ("task", "execution")}
    ecs.register_task_definition(family=cluster, containerDefinitions=[container], **roles)
    ecs.create_service(cluster=cluster, serviceName="worker", taskDefinition=cluster, desiredCount=1)
    role = Role(api, may_update := statement("ecs:UpdateService"))
    update = partial(role.session.client("ecs").update_service, cluster=cluster, service="worker")
    update(desiredCount=2)
    for named in (cluster, f"{cluster}:1"):
        status, code, message = refusal(update, taskDefinition=named)
        assert (status, code) == (400, "AccessDeniedException")
        assert f"perform: iam:PassRole on resource: {roles['taskRoleArn']}" in message
    to_tasks = {"StringEquals": {"iam:PassedToService": TASKS}}
    role.allow(may_update, statement("iam:PassRole", on=roles["taskRoleArn"], Condition=to_tasks))
    assert roles["executionRoleArn"] in refusal(update, taskDefinition=cluster)[2]
    role.allow(may_update, statement("iam:PassRole", on=f"arn:aws:iam::{ACCOUNT}:role/{cluster}-*", Condition=to_tasks))
    assert update(taskDefinition=cluster)["service"]["taskDefinition"].endswith(f"task-definition/{cluster}:1")


def test_a_role_is_assumed_only_by_the_service_that_it_trusts(api: AwsApi) -> None:
    role = Role(api)
    other = Service(FUNCTIONS, endpoint=f"http://localhost:{api.port}", region=api.region)
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role.name}"
    assert refusal(other.assume, role=arn, session="me")[1] == "AccessDenied"


def test_the_code_of_a_function_is_denied_what_lambda_alone_may_do(api: AwsApi) -> None:
    name, iam = f"r{uuid.uuid4().hex[:8]}", api.client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": FUNCTIONS}}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    deny = statement("ec2:DescribeSubnets", Condition={"Null": {"lambda:SourceFunctionArn": "false"}})
    document = policy(statement("ec2:DescribeSubnets"), {**deny, "Effect": "Deny"})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    service = Service(FUNCTIONS, endpoint=f"http://localhost:{api.port}", region=api.region)
    ec2 = RoleSession(service, arn, session="fun").client("ec2")
    assert "with an explicit deny in an identity-based policy" in refusal(ec2.describe_subnets)[2]


def test_credentials_that_nobody_gave_out_are_no_credentials(api: AwsApi) -> None:
    session: Any = boto3.session.Session("ASIAUNKNOWN", "s", "t", api.region)
    endpoint = f"http://localhost:{api.port}"
    assert refusal(session.client("sts", endpoint_url=endpoint).get_caller_identity)[1] == "InvalidClientTokenId"
    assert refusal(session.client("ecs", endpoint_url=endpoint).list_clusters)[1] == "UnrecognizedClientException"
    assert refusal(session.client("s3", endpoint_url=endpoint).list_buckets)[1] == "InvalidAccessKeyId"


def test_a_call_without_a_signature_is_refused(api: AwsApi) -> None:
    sts: Any = boto3.session.Session(region_name=api.region)
    unsigned = sts.client("sts", endpoint_url=f"http://localhost:{api.port}", config=Config(signature_version=UNSIGNED))
    assert refusal(unsigned.get_caller_identity)[:2] == (403, "MissingAuthenticationToken")


def test_a_policy_that_cannot_be_evaluated_is_named(api: AwsApi) -> None:
    role = Role(api, statement("ecs:ListClusters", Condition={"BinaryEquals": {"aws:PrincipalTag/a": "Yg=="}}))
    status, code, message = refusal(role.session.client("ecs").list_clusters)
    assert (status, code) == (501, "NotImplemented")
    assert message == "the local API cannot evaluate a policy: the condition operator BinaryEquals is not known"


def test_who_asks_for_its_own_name_must_have_signed_the_request(api: AwsApi) -> None:
    role = Role(api)
    credentials = role.session.credentials()
    assert role.session.client("sts").get_caller_identity()["Arn"] == role.arn

    def ask(secret: str, token: str) -> Any:
        session: Any = boto3.session.Session(credentials.key_id, secret, token, region_name=api.region)
        return session.client("sts", endpoint_url=f"http://localhost:{api.port}").get_caller_identity

    for call in (ask("of-nobody", credentials.token), ask(credentials.secret, "of-nobody")):
        status, code, message = refusal(call)
        assert (status, code) == (403, "SignatureDoesNotMatch")
        assert message.startswith("The request signature we calculated does not match")
