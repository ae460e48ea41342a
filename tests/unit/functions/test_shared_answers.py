"""Answers of AWS that are not what they should be: one error, whatever is wrong."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import BotoCoreError
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.services import read_services, set_desired
from fleet.pools import Pool
from shared.answers import NEEDED, CheckedParsers, Count, MalformedAnswer, Time, find_lacking
from shared.aws import AWS_ERRORS, is_refusal, secret_string
from shared.ecs import describe_tasks
from shared.known_tasks import KnownTasks
from sleeper import read as sleeper_read
from tests.support import rendered
from version_check.read import read_tasks

MODELS = botocore.session.get_session()
SERVICES = {
    "ecs": ("DescribeServices", "DescribeTasks", "ListServices", "ListTasks", "UpdateService", "TagResource"),
    "rds": ("DescribeDBInstances", "StopDBInstance"),
    "cloudwatch": ("DescribeAlarms", "SetAlarmState"),
    "sns": ("Publish",),
    "secretsmanager": ("GetSecretValue",),
}
OPERATIONS = [(service, operation) for service, operations in SERVICES.items() for operation in operations]
STATUSES = (200, 204, 300, 302, 400, 403, 500, 503)
READING_ERRORS: tuple[type[Exception], ...] = (*AWS_ERRORS, sleeper_read.Unreadable)
POOL = Pool(name="worker", service="s", queues=("default",), minimum=0, maximum=2, concurrency=4)


def _names() -> st.SearchStrategy[str]:
    """Return names that the answers really have."""
    found: set[str] = {"Error", "Code", "Message", "__type", "message"}

    def collect(needed: Any) -> None:
        if isinstance(needed, dict):
            for name, inner in needed.items():
                found.add(name.rstrip("?"))
                collect(inner)
        elif isinstance(needed, list):
            collect(needed[0])

    for needed in NEEDED.values():
        collect(needed)
    return st.sampled_from(sorted(found))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | _names(), inner, max_size=4),
    max_leaves=12,
)


def _xml(value: Any, name: str = "DescribeDBInstancesResponse") -> str:
    safe = "".join(letter for letter in name if letter.isalnum()) or "x"
    if isinstance(value, dict):
        inner = "".join(_xml(item, key) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(_xml(item, "member") for item in value)
    else:
        inner = "".join(letter for letter in str(value) if letter.isalnum())
    return f"<{safe}>{inner}</{safe}>"


BODIES = st.one_of(
    st.binary(max_size=40),
    ANY_JSON.map(lambda value: json.dumps(value).encode()),
    ANY_JSON.map(lambda value: _xml(value).encode()),
)


def parse(service: str, operation: str, body: bytes, *, status: int = 200) -> Any:
    model = MODELS.get_service_model(service)
    response: dict[str, Any] = {
        "headers": {},
        "status_code": status,
        "body": body,
        "context": {"operation_name": operation},
    }
    parser = CheckedParsers().create_parser(model.resolved_protocol)
    return parser.parse(response, model.operation_model(operation).output_shape)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
@given(body=BODIES, status=st.sampled_from(STATUSES))
@settings(max_examples=25)
def test_whatever_is_answered_is_whole_or_malformed(service: str, operation: str, body: bytes, status: int) -> None:
    try:
        parsed = parse(service, operation, body, status=status)
    except MalformedAnswer:
        return
    if status >= 300:
        assert isinstance(parsed["Error"].get("Code", ""), str | None)
    elif NEEDED[operation] is not None:
        assert not find_lacking(parsed, NEEDED[operation])


@pytest.mark.parametrize(
    ("body", "lacks"),
    [
        (b"", "without services"),
        (b"[]", "unreadable data"),
        (b"\xff", "unreadable data"),
        (b'{"services": [', "without services"),
        (b'{"services": [null]}', r"without services\[0\]"),
        (b'{"services": [{"serviceName": "a"}]}', r"without services\[0\].serviceArn"),
    ],
)
def test_the_message_names_what_is_missing(body: bytes, lacks: str) -> None:
    with pytest.raises(MalformedAnswer, match=rf"^DescribeServices was answered.*{lacks}"):
        parse("ecs", "DescribeServices", body)


def test_the_message_holds_nothing_of_a_secret() -> None:
    body = json.dumps({"SecretBinary": "aHVudGVyMg==", "SecretString": ["hunter2"]}).encode()
    with pytest.raises(MalformedAnswer) as caught:
        parse("secretsmanager", "GetSecretValue", body)
    assert str(caught.value) == "GetSecretValue was answered without SecretString"
    assert caught.value.__cause__ is None


def test_every_call_that_the_functions_may_make_is_in_the_table() -> None:
    """VPC interfaces are Lambda's own calls, log streams and traces the runtime's; passing a role is part of a call."""
    foreign = {"ec2", "logs", "xray", "kms", "iam"}
    granted: set[str] = set()
    for role in rendered.resources("AWS::IAM::Role").values():
        if "lambda.amazonaws.com" not in json.dumps(role["AssumeRolePolicyDocument"]):
            continue
        (policy,) = role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            granted |= set(statement["Action"])
    assert {name for service, _, name in (each.partition(":") for each in granted) if service not in foreign} == set(
        NEEDED
    )


# --- what the table demands is enough for all that read the answers


def answers_to(operation: str) -> st.SearchStrategy[Any]:
    return _matching(NEEDED[operation])


def _matching(needed: Any) -> st.SearchStrategy[Any]:
    if isinstance(needed, dict):
        required = {name: _matching(inner) for name, inner in needed.items() if not name.endswith("?")}
        optional = {name[:-1]: _matching(inner) for name, inner in needed.items() if name.endswith("?")}
        return st.fixed_dictionaries(required, optional=optional)
    if isinstance(needed, list):
        return st.lists(_matching(needed[0]), max_size=2)
    if needed is Time:
        return st.just(datetime(2026, 1, 1, tzinfo=UTC))
    words = ("ACTIVE", "INACTIVE", "PRIMARY", "RUNNING", "STOPPED", "MISSING", "IN_PROGRESS", "FAILED")
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        Count: st.integers(0, 3),
        bool: st.booleans(),
        str: st.sampled_from((*words, "s", "c/s", "0" * 32, "worker", "service:s")),
    }
    return kinds[needed]


class Api:
    """Answers each call with the same, and has one page of everything."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, call: str) -> Any:
        operation = "".join(word.capitalize() for word in call.split("_")).replace("Db", "DB")
        return lambda **_: self._answers[operation]

    def get_paginator(self, call: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [getattr(self, call)()])


@given(st.fixed_dictionaries({operation: answers_to(operation) for operation in NEEDED if NEEDED[operation]}))
@settings(max_examples=100)
def test_an_answer_with_all_that_the_table_demands_is_read_without_an_error(answers: dict[str, Any]) -> None:
    api = Api(answers)
    read_services(api, cluster="c", pools=[POOL])
    read_tasks(api, cluster="c", services={"airflow": "s", "worker": "s"}, reported=["0" * 32])
    KnownTasks(api, cluster="c").read(["0" * 32])
    settings_of_sleeper: Any = SimpleNamespace(airflow="s", flower="s", pools=[POOL], cluster="c", services=("s",))
    refused: list[str] = []
    for read in (
        lambda: set_desired(api, cluster="c", pool=POOL, desired=2),
        lambda: describe_tasks(api, cluster="c", tasks=["0" * 32]),
        lambda: secret_string(api, "arn"),
        lambda: sleeper_read.cluster(api, "c"),
        lambda: sleeper_read._services(api, settings_of_sleeper),
        lambda: sleeper_read._database(api, "d"),
        lambda: sleeper_read._is_scaling(api, cluster="c", service="s"),
        lambda: sleeper_read._alarms(api, "a"),
    ):
        try:
            read()
        except READING_ERRORS as error:
            refused.append(str(error))
    assert all(refused)


def test_an_ecs_task_that_an_answer_leaves_out_is_not_gone() -> None:
    left_out = Api({"DescribeTasks": {"tasks": [], "failures": []}})
    answers = KnownTasks(left_out, cluster="c").read(["0" * 32])
    assert answers.tasks == {}
    assert answers.problem == "MalformedAnswer: DescribeTasks was answered without 1 of 1 ECS tasks"

    gone = Api({"DescribeTasks": {"tasks": [], "failures": [{"arn": f"arn:task/c/{'0' * 32}", "reason": "MISSING"}]}})
    assert KnownTasks(gone, cluster="c").read(["0" * 32]).tasks == {"0" * 32: None}


def test_a_desired_count_that_ecs_does_not_confirm_is_an_error() -> None:
    with pytest.raises(MalformedAnswer, match="UpdateService was answered with the desired count 1") as caught:
        set_desired(Api({"UpdateService": {"service": {"desiredCount": 1}}}), cluster="c", pool=POOL, desired=2)
    assert isinstance(caught.value, BotoCoreError)
    assert not is_refusal(caught.value)
