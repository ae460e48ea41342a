"""Reaches the stack of an environment in samconfig.toml: on AWS with the caller's credentials, or on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from project import environments, running
from project.clients import CREDENTIALS

LOCAL = "local"
# An invocation may take as long as the function's own timeout; it is not made a second time.
INVOKE = Config(read_timeout=100, retries={"max_attempts": 0})


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A deployed stack, and clients of the APIs that it is reached by."""

    name: str
    cloudformation: Any
    functions: Any

    def output(self, key: str) -> str:
        """One of its outputs; KeyError when it has none of that name. Raises what boto3 raises."""
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: str(each["OutputValue"]) for each in stack.get("Outputs", [])}[key]


def reach(name: str) -> Stack:
    """The stack of an environment; CommandError when there is no such environment, or no local stack runs."""
    environment = environments.load(name)
    api: Any = boto3.session  # boto3 is not typed
    if name != LOCAL:
        session = api.Session(region_name=environment.region)
        return _stack(environment.stack_name, session)
    here = running.find()
    session = api.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=here.region,
    )
    return _stack(environment.stack_name, session, cloudformation_at=here.endpoint, functions_at=here.invocations)


def _stack(name: str, session: Any, *, cloudformation_at: str | None = None, functions_at: str | None = None) -> Stack:
    return Stack(
        name=name,
        cloudformation=session.client("cloudformation", endpoint_url=cloudformation_at),
        functions=session.client("lambda", endpoint_url=functions_at, config=INVOKE),
    )
