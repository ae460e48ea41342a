"""The deployed stack of an environment, and its functions: on AWS with the caller's credentials, or on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from project import environments, running
from project.clients import CREDENTIALS

LOCAL = "local"
# An invocation may take as long as the function's own timeout, so a slow one is not retried.
INVOKE = Config(read_timeout=100, retries={"max_attempts": 0})


@dataclass(frozen=True, kw_only=True)
class DeployedStack:
    """A deployed stack, with clients of its APIs; `client` returns one of any other API by its name in boto3."""

    name: str
    cloudformation: Any
    functions: Any
    client: Callable[[str], Any]

    def output(self, key: str) -> str:
        """Return an output of the stack. Raises FunctionFailed when it has none of that name, and what boto3 raises."""
        return self._value("Output", key)

    def parameter(self, key: str) -> str:
        """Return a parameter with which the stack was deployed. Raises FunctionFailed, and what boto3 raises."""
        return self._value("Parameter", key)

    def _value(self, kind: str, key: str) -> str:
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        for each in stack.get(f"{kind}s", []):
            if each[f"{kind}Key"] == key:
                return str(each[f"{kind}Value"])
        raise FunctionFailed(f"the stack {self.name} has no {kind.lower()} {key}: deploy this version's template first")


def find_stack(name: str) -> DeployedStack:
    """Return the stack of an environment. Raises CommandError when the environment or the local stack is missing."""
    environment = environments.load(name)
    api: Any = boto3.session  # boto3 is not typed
    if name != LOCAL:
        session = api.Session(region_name=environment.region)
        return _stack(environment.stack_name, session)
    here = running.find_stack()
    session = api.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=here.region,
    )
    return _stack(environment.stack_name, session, endpoint=here.endpoint, functions_at=here.invocations)


def _stack(name: str, session: Any, *, endpoint: str | None = None, functions_at: str | None = None) -> DeployedStack:
    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)

    return DeployedStack(
        name=name,
        cloudformation=client("cloudformation"),
        functions=session.client("lambda", endpoint_url=functions_at, config=INVOKE),
        client=client,
    )


ASK_EVERY_S = 5.0

Record = dict[str, Any]


class FunctionFailed(Exception):
    """A function of the stack is missing, or answered with an error; the message is one line."""


def ask_function(stack: DeployedStack, *, output: str, event: Mapping[str, Any], described_as: str) -> Record:
    """Invoke the function that this output of the stack names and return its answer.

    Raises FunctionFailed, which calls the function `described_as`, and what boto3 raises.
    """
    answer = stack.functions.invoke(FunctionName=stack.output(output), Payload=json.dumps(event))
    record: Record = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise FunctionFailed(f"{described_as} failed: {' '.join(str(record.get('errorMessage', record)).split())}")
    return record


def ask_until(
    ask: Callable[[], Record],
    *,
    is_done: Callable[[Record], bool],
    seconds: float,
    progress: Callable[[Record, float], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """Return the first answer that is done, or the last within `seconds`; `progress` gets each with its time."""
    began = clock()
    while True:
        record = ask()
        passed = clock() - began
        progress(record, passed)
        if is_done(record) or passed + ASK_EVERY_S > seconds:
            return record
        sleep(ASK_EVERY_S)
