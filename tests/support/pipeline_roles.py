"""The roles of the pipeline in the local AWS API, as SAM's bootstrap and `make pipeline-role` make them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import samcli.lib.pipeline.bootstrap as bootstrap
import yaml

from ops.delivery.__main__ import main
from tests.support.aws_api import AwsApi

ACCOUNT = "123456789012"
CLOUDFORMATION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/CloudFormation"
Statement = dict[str, Any]


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's functions, whose results are of no interest here."""


def _ignore(_loader: yaml.SafeLoader, _suffix: str, _node: yaml.Node) -> str:
    return "*"


Loader.add_multi_constructor("!", _ignore)


def bootstrap_statements() -> list[Statement]:
    """Return what the bootstrap of the installed SAM CLI allows to its pipeline role, on any resource."""
    text = (Path(str(bootstrap.__file__)).with_name("stage_resources.yaml")).read_text()
    resources = yaml.load(text, Loader)["Resources"]  # noqa: S506 - a safe loader
    found = resources["PipelineExecutionRolePermissionPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    statements = [each.get("Fn::If", [None, each])[1] for each in found]
    return [{"Effect": "Allow", "Action": each["Action"], "Resource": "*"} for each in statements]


@dataclass(frozen=True, kw_only=True)
class PipelineRoles:
    """The roles of one environment; `variables` are the credentials of a workflow's job."""

    deploying: dict[str, str]
    planning: dict[str, str]

    @classmethod
    def make(cls, api: AwsApi, environment: str, *, bucket: str) -> PipelineRoles:
        """Make them; the caller's environment variables must be the administrator's."""
        iam, name = api.client("iam"), f"pipeline-{environment}"
        nobody = {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document([nobody]))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="bootstrap", PolicyDocument=_document(bootstrap_statements()))
        own = ["--env", environment, "--role", role, "--repository", "me/airflow", "--bucket", bucket]
        assert main(["role", *own, "--cloudformation-role", CLOUDFORMATION_ROLE]) == 0
        planning = role.replace(name, f"airflow-{environment}-plan")
        return cls(deploying=_session(api, role), planning=_session(api, planning))


def _document(statements: list[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _session(api: AwsApi, role: str) -> dict[str, str]:
    """Return the variables of a session, which the administrator gives out in place of GitHub's token."""
    given = api.client("sts").assume_role(RoleArn=role, RoleSessionName="github")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
