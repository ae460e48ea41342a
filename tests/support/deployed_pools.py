"""Deploys the template of some pools into the local AWS API, with functions whose packages are empty."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from stack.render import render
from stack.sections.pools import DeclaredPool
from template_gen import build
from tests.support.aws_api import AwsApi

BUCKET, PACKAGE = "packages", "empty.zip"


def packaged(template: str) -> str:
    """Return the text of a template whose functions have the empty package, as `sam package` writes it."""
    return template.replace("CodeUri: functions/", f"CodeUri: s3://{BUCKET}/{PACKAGE}")


def deploy_pools(api: AwsApi, declared: Sequence[DeclaredPool], **parameters: str) -> dict[str, Any]:
    """Create the stack `pools` and return it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("handler.py", "")
    s3 = api.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": api.region})
    s3.put_object(Bucket=BUCKET, Key=PACKAGE, Body=archive.getvalue())
    template = packaged(render(build(declared)))
    stack = api.carry_out("pools", template, ImageUri="airflow:1", **parameters)
    assert stack["StackStatus"] == "CREATE_COMPLETE", api.failures("pools")
    return stack
