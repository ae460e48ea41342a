"""The role of a function, as the template defines it, over the resources that a test made in the local AWS API."""

from __future__ import annotations

import json
import logging
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cfn.intrinsics import Scope, resolve, resolve_ifs
from local.aws.backend.settings import ACCESS_PATH
from local.aws.iam.policies import actions_of
from local.aws.iam.sessions import FUNCTIONS, RoleSession, Service
from stack.lib.iam import NETWORK_INTERFACE_ACTIONS
from tests.support import rendered
from tests.support.aws_api import AwsApi

ACCOUNT = "123456789012"
# What Lambda itself does with a function's role: its log, its network interfaces, and the report of a lost event.
OF_LAMBDA = {
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *NETWORK_INTERFACE_ACTIONS,
    *("sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"),
}


class FunctionRole:
    """A session of the role. `arns`: what the resources of the template are here, by their logical ids.

    `without`: an action that is taken from it. Resources that are not named have an ARN of no service. The stack's
    cluster, which the template's policies also name by its name, has that of the stack.
    """

    def __init__(self, api: AwsApi, title: str, *, stack: str, arns: Mapping[str, str], without: str = "") -> None:
        self._endpoint = f"http://localhost:{api.port}"
        iam, self.name = api.client("iam"), f"{title}-{uuid.uuid4().hex[:8]}"
        pseudo = {"Partition": "aws", "Region": api.region, "AccountId": ACCOUNT, "StackName": stack}

        def found(logical_id: str, _attribute: str = "") -> str:
            return arns.get(logical_id, f"arn:aws:none:::{logical_id}")

        parameters = {f"AWS::{name}": value for name, value in pseudo.items()}
        scope = Scope(parameters={**parameters, "Cluster": stack}, mappings={}, ref=found, attribute=found)
        role = rendered.resources("AWS::IAM::Role")[f"{title}Role"]
        trust = json.dumps(role["AssumeRolePolicyDocument"])
        arn = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        # Of a stack with all that is optional.
        conditions = dict.fromkeys(rendered.template()["Conditions"], True)
        documents = (resolve_ifs(document, conditions) for document in _documents(role))
        documents = (without_action(resolve(document, scope), without) for document in documents)
        self.policies = [json.dumps(document) for document in documents]
        for number, document in enumerate(self.policies):
            iam.put_role_policy(RoleName=self.name, PolicyName=f"p{number}", PolicyDocument=document)
        service = Service(FUNCTIONS, endpoint=self._endpoint, region=api.region)
        self._session = RoleSession(service, arn, session=self.name)

    def client(self, service: str) -> Any:
        return self._session.client(service)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the environment in which Lambda gives a function the role's credentials."""
        return self._session.credentials().variables

    @property
    def granted(self) -> set[str]:
        """The actions that the role allows."""
        return {action for document in self.policies for action in actions_of(document)}

    @property
    def used(self) -> set[str]:
        """The actions that its calls needed and were allowed."""
        return set(self._access()["used"].get(self.name, ()))

    @property
    def refused(self) -> list[str]:
        """The calls that it was refused."""
        return [message for message in self._access()["refused"] if f"/{self.name}/" in message]

    def _access(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._endpoint + ACCESS_PATH) as answer:  # noqa: S310 - from our own API
            found: dict[str, Any] = json.load(answer)
        return found


def lacks(action: str) -> str:
    """Return the words that tell of a refusal for lack of this action."""
    return f"is not authorized to perform: {action} "


def warnings_in(caplog: pytest.LogCaptureFixture) -> str:
    """Return the warnings that were logged, with all that they carry."""
    return "\n".join(str(vars(record)) for record in caplog.records if record.levelno >= logging.WARNING)


def without_action(document: dict[str, Any], action: str) -> dict[str, Any]:
    """Return the policy that does not allow an action; a statement that allows no other is left out."""
    statements = []
    for each in document["Statement"]:
        if each["Effect"] == "Deny":
            statements.append(each)
        elif left := [one for one in each["Action"] if one != action]:
            statements.append({**each, "Action": left})
    return {**document, "Statement": statements}


def _documents(role: rendered.Resource) -> Iterator[Any]:
    yield from (policy["PolicyDocument"] for policy in role["Policies"])
    for attached in role["ManagedPolicyArns"]:
        yield rendered.resources("AWS::IAM::ManagedPolicy")[attached["Ref"]]["PolicyDocument"]
