"""A rule invokes a function only if the function's policy allows it; the function has its role."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam.sessions import FUNCTIONS
from local.lambdas.schedules import NotAllowed, Rules
from project import paths
from project.clients import Clients, environment_of_role
from tests.support.aws_api import AwsApi

CODE = """
import botocore.session
def handler(event, context):
    return botocore.session.get_session().create_client("sts").get_caller_identity()["Arn"]
"""
EVENTS = "events.amazonaws.com"


class Deployed:
    """A function with a rule that invokes it, which its policy does not allow yet."""

    def __init__(self, clients: Clients, *, name: str, trusted: str = FUNCTIONS) -> None:
        self._functions, self.name = getattr(clients, "lambda"), name
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": trusted}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("app.py", CODE)
        clients.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": clients.region})
        clients.s3.put_object(Bucket=name, Key="k", Body=data.getvalue())
        how: dict[str, Any] = {"Runtime": "python3.12", "Handler": "app.handler", "Timeout": 30}
        function = self._functions.create_function(
            FunctionName=name, Role=role, Code={"S3Bucket": name, "S3Key": "k"}, **how
        )["FunctionArn"]
        self.rule = clients.events.put_rule(Name=name, ScheduleExpression="rate(1 hour)")["RuleArn"]
        clients.events.put_targets(Rule=name, Targets=[{"Id": "f", "Arn": function}])

    def permit(self, rule: str) -> None:
        self._functions.add_permission(
            FunctionName=self.name,
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal=EVENTS,
            SourceArn=rule,
        )


@pytest.fixture
def clients(api: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(paths, "FUNCTIONS", tmp_path / "functions")
    made = Clients(f"http://localhost:{api.port}", api.region)
    yield made
    for rule in made.events.list_rules()["Rules"]:
        made.events.remove_targets(Rule=rule["Name"], Ids=["f"])
        made.events.delete_rule(Name=rule["Name"])


def rules_of(clients: Clients) -> Rules:
    platform = environment_of_role(clients.endpoint, clients.region)
    return Rules(clients=clients, platform=platform, resolve=dict)


def test_a_rule_invokes_the_function_that_permits_it_and_the_function_has_its_role(clients: Clients) -> None:
    deployed = Deployed(clients, name="permitted")
    deployed.permit(deployed.rule)
    rules = rules_of(clients)
    try:
        caller = rules.function("permitted").invoke({})
    finally:
        rules.close()
    assert caller == "arn:aws:sts::123456789012:assumed-role/permitted/permitted"


@pytest.mark.parametrize("permits_another", [False, True])
def test_a_rule_that_the_function_does_not_permit_is_named(clients: Clients, permits_another: bool) -> None:
    deployed = Deployed(clients, name=f"denied-{permits_another}".lower())
    if permits_another:
        deployed.permit(f"{deployed.rule}-of-another")
    with pytest.raises(NotAllowed, match=f"rule {deployed.name} may not invoke {deployed.name}: because no resource-"):
        rules_of(clients)


def test_a_role_that_does_not_trust_lambda_is_named(clients: Clients) -> None:
    Deployed(clients, name="distrusted", trusted="ecs-tasks.amazonaws.com")
    with pytest.raises(NotAllowed, match=r"function distrusted: .*not authorized to perform: sts:AssumeRole"):
        rules_of(clients)
