"""What calls to the API are requests for, held against AWS's service authorization reference as cfn-lint ships it."""

import io
import json
import re
from base64 import b64encode
from dataclasses import replace
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import cfnlint.data.AdditionalSpecs
import pytest

from local.aws.iam.calls import read_call
from local.aws.iam.resources import TABLE, Place, needs_of

PLACE = Place(partition="aws", account="123456789012", region="eu-west-1", stack_of=lambda _: "")
REFERENCE = json.loads((resources.files(cfnlint.data.AdditionalSpecs) / "Policies.json").read_text())
SIGNED = "AWS4-HMAC-SHA256 Credential=ASIA1/20261130/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=0"
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/1"
OF_TOPICS = ("DeleteTopic", "Publish", "SetTopicAttributes", "Subscribe")
# A call of each operation of the table, with what it names.
PARAMETERS: dict[str, dict[str, Any]] = {
    "application-autoscaling:RegisterScalableTarget": {"ServiceNamespace": "ecs"},
    "cloudwatch:DisableAlarmActions": {"AlarmNames": ["a"]},
    "cloudwatch:EnableAlarmActions": {"AlarmNames": ["a"]},
    "cloudwatch:SetAlarmState": {"AlarmName": "a"},
    "ecs:DescribeClusters": {"clusters": ["c"]},
    "events:PutEvents": {"Entries": [{"EventBusName": "b", "Source": "s", "DetailType": "t"}]},
    "ecs:DescribeServices": {"cluster": "c", "services": ["a", "b"]},
    "ecs:DescribeTasks": {"cluster": "c", "tasks": ["1"]},
    "ecs:GetTaskProtection": {"cluster": "c", "tasks": ["1"]},
    "ecs:ListServices": {"cluster": "c"},
    "ecs:ListTasks": {"cluster": "c"},
    "ecs:RunTask": {"cluster": "c", "taskDefinition": "d:1"},
    "ecs:TagResource": {"resourceArn": "arn:aws:ecs:eu-west-1:123456789012:service/c/a", "tags": []},
    "ecs:UntagResource": {"resourceArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/c", "tagKeys": []},
    "ecs:UpdateService": {"cluster": "c", "service": "a"},
    "ecs:UpdateTaskProtection": {"cluster": "c", "tasks": ["1"]},
    "lambda:InvokeFunction": {},
    "logs:CreateLogStream": {"logGroupName": "g", "logStreamName": "s"},
    "logs:PutLogEvents": {"logGroupName": "g", "logStreamName": "s"},
    "rds:CreateDBSnapshot": {"DBInstanceIdentifier": "d", "DBSnapshotIdentifier": "s"},
    "rds:DescribeDBInstances": {"DBInstanceIdentifier": "d"},
    "rds:DescribeDBSnapshots": {"DBSnapshotIdentifier": "s"},
    "rds:StartDBInstance": {"DBInstanceIdentifier": "d"},
    "rds:StopDBInstance": {"DBInstanceIdentifier": "d"},
    "secretsmanager:GetSecretValue": {"SecretId": "s"},
    "ses:SendEmail": {"Source": "a@b.example", "Destination.ToAddresses.member.1": "c@d.example"},
    "ses:SendRawEmail": {"Source": "a@b.example", "RawMessage.Data": b64encode(b"From: a@b.example\n\na").decode()},
    **{f"sns:{name}": {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:t"} for name in OF_TOPICS},
    "sts:AssumeRole": {"RoleArn": "arn:aws:iam::123456789012:role/r"},
}
FORMS = ("cloudformation", "rds", "ses", "sns", "sts")
SIGNING = {"cloudwatch": "monitoring"}
OF_STREAMS = {"logs:CreateLogStream"}  # AWS's refusals name the stream, the reference its group
# Listing by service: its resource type, a container instance, is not there on Fargate.
NO_RESOURCE = {"ecs:ListServices", "ecs:ListTasks"}


def environ(action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    service, _, operation = action.partition(":")
    found = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "QUERY_STRING": "", "CONTENT_TYPE": "application/json"}
    found["HTTP_AUTHORIZATION"] = SIGNED.format(SIGNING.get(service, service))
    if service in FORMS:
        body = urlencode({"Action": operation, **parameters})
        found["CONTENT_TYPE"] = "application/x-www-form-urlencoded; charset=utf-8"
    else:
        body = json.dumps(parameters)
        found["HTTP_X_AMZ_TARGET"] = f"Service.{operation}"
    if service == "lambda":
        found["PATH_INFO"] = "/2015-03-31/functions/f/invocations"
        del found["HTTP_X_AMZ_TARGET"]
    return {**found, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body.encode())}


@pytest.mark.parametrize("action", TABLE)
def test_each_resource_is_of_a_type_that_the_reference_names_for_the_action(action: str) -> None:
    call = read_call(environ(action, PARAMETERS.get(action, {"StackName": STACK})))
    assert call is not None
    assert call.action == action
    needs = needs_of(call, PLACE)
    assert needs[0].action == action
    for need in needs:
        service, _, operation = need.action.partition(":")
        known = REFERENCE[service]["Actions"][operation.lower()].get("Resources", [])
        types = {name.lower(): described for name, described in REFERENCE[service]["Resources"].items()}
        formats = [form for kind in known for form in types[kind.lower()]["ARNFormats"]]
        assert formats or need.resource == "*"
        if action in OF_STREAMS:
            assert need.resource.endswith(":log-group:g:log-stream:s")
        elif action in NO_RESOURCE:
            assert need.resource == "*"
        else:
            assert any(re.fullmatch(form.replace("${", "{").format_map(Anything()), need.resource) for form in formats)


class Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "[^:]*"


@pytest.mark.parametrize(
    ("method", "path", "query", "action", "resource"),
    [
        ("GET", "/b/logs/a", "", "s3:GetObject", "arn:aws:s3:::b/logs/a"),
        ("HEAD", "/b/logs/a", "", "s3:GetObject", "arn:aws:s3:::b/logs/a"),
        ("PUT", "/b/logs/a%3Ab", "", "s3:PutObject", "arn:aws:s3:::b/logs/a:b"),
        ("POST", "/b/k", "uploads", "s3:PutObject", "arn:aws:s3:::b/k"),
        ("DELETE", "/b/k", "uploadId=1", "s3:AbortMultipartUpload", "arn:aws:s3:::b/k"),
        ("DELETE", "/b/k", "", "s3:DeleteObject", "arn:aws:s3:::b/k"),
        ("GET", "/b", "list-type=2&prefix=logs", "s3:ListBucket", "arn:aws:s3:::b"),
        ("HEAD", "/b", "", "s3:ListBucket", "arn:aws:s3:::b"),
        ("GET", "/b", "location", "s3:GetBucketLocation", "arn:aws:s3:::b"),
        ("PUT", "/b", "policy", "s3:PutBucketPolicy", "arn:aws:s3:::b"),
    ],
)
def test_requests_to_s3(method: str, path: str, query: str, action: str, resource: str) -> None:
    asked = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    call = read_call({**asked, "HTTP_AUTHORIZATION": SIGNED.format("s3")})
    assert call is not None
    (need,) = needs_of(call, PLACE)
    assert (need.action, need.resource) == (action, resource)
    if "prefix" in query:
        assert need.context["s3:prefix"] == "logs"


def test_a_mail_is_sent_by_each_address_that_it_names_as_its_sender() -> None:
    raw = "From: Boss <boss@b.example>\nTo: X <x@d.example>\nCc: y@d.example\n\na"
    given = {"Source": "Airflow <a@b.example>", "RawMessage.Data": b64encode(raw.encode()).decode()}
    place = replace(PLACE, identity_of=lambda address: address.partition("@")[2])
    call = read_call(environ("ses:SendRawEmail", given))
    assert call is not None
    needs = needs_of(call, place)
    assert [need.resource.rpartition(":")[2] for need in needs] == ["identity/b.example"] * 2
    assert needs[0].context == {
        "ses:fromaddress": "boss@b.example",
        "ses:fromdisplayname": "Boss",
        "ses:recipients": ("x@d.example", "y@d.example"),
    }
    call = read_call(environ("ses:SendRawEmail", {**given, "Destinations.member.1": "z@d.example"}))
    assert call is not None
    assert needs_of(call, PLACE)[0].context["ses:recipients"] == ("z@d.example",)
    assert [need.resource.rpartition("/")[2] for need in needs_of(call, PLACE)] == ["boss@b.example", "a@b.example"]


def test_a_change_set_also_needs_the_transform_the_tags_and_the_role() -> None:
    given = {
        "StackName": "s",
        "Capabilities.member.1": "CAPABILITY_AUTO_EXPAND",
        "Tags.member.1.Key": "k",
        "RoleARN": "arn:aws:iam::123456789012:role/r",
    }
    call = read_call(environ("cloudformation:CreateChangeSet", given))
    assert call is not None
    assert [(need.action, need.resource) for need in needs_of(call, PLACE)] == [
        ("cloudformation:CreateChangeSet", "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/*"),
        ("cloudformation:CreateChangeSet", "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31"),
        ("cloudformation:TagResource", "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/*"),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/r"),
    ]


def test_who_sets_a_services_task_definition_passes_its_roles_to_tasks() -> None:
    role = "arn:aws:iam::123456789012:role/r"
    place = replace(PLACE, roles_of={"f:2": [role]}.__getitem__)
    call = read_call(environ("ecs:UpdateService", {"cluster": "c", "service": "a", "taskDefinition": "f:2"}))
    assert call is not None
    service, passed = needs_of(call, place)
    assert (service.action, service.resource) == ("ecs:UpdateService", "arn:aws:ecs:eu-west-1:123456789012:service/c/a")
    assert (passed.action, passed.resource) == ("iam:PassRole", role)
    assert passed.context == {"iam:passedtoservice": "ecs-tasks.amazonaws.com"}


def test_the_body_can_be_read_again_and_an_unknown_call_is_one_on_everything() -> None:
    asked = environ("ecs:DeleteService", {"service": "a"})
    call = read_call(asked)
    assert call is not None
    assert json.loads(asked["wsgi.input"].read()) == {"service": "a"}
    assert [(need.action, need.resource) for need in needs_of(call, PLACE)] == [("ecs:DeleteService", "*")]
