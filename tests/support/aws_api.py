"""The local AWS API as a process, and clients of it, for the integration tests of local/aws."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from local.aws.backend.settings import BROKER_ADMINISTRATOR
from local.servers.ports import free_port
from local.stack import sam

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
DATABASE, BROKER = "localhost:45432", "localhost:46379"
SETTLED_S = 240  # the whole template on a busy machine


@dataclass(frozen=True, kw_only=True)
class AwsApi:
    port: int
    process: subprocess.Popen[str]
    region: str = REGION

    @property
    def environment(self) -> dict[str, str]:
        """What SAM CLI needs to reach this API, and nothing else."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
        return {
            **kept,
            "AWS_ENDPOINT_URL": f"http://localhost:{self.port}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": sam.POLL_DELAY_S,
        }

    def client(self, service: str) -> Any:
        session: Any = boto3.session.Session(
            aws_access_key_id="local", aws_secret_access_key="local", region_name=self.region
        )
        return session.client(service, endpoint_url=f"http://localhost:{self.port}")

    def sam(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).with_name("sam"))
        return subprocess.run(
            [program, *arguments],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def carry_out(self, stack: str, template: str, kind: str = "CREATE", **parameters: str) -> dict[str, Any]:
        """Make and execute a change set; return the stack once it has settled, however it ended."""
        cloudformation = self.client("cloudformation")
        change_set = cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName="c",
            ChangeSetType=kind,
            TemplateBody=template,
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )
        cloudformation.execute_change_set(ChangeSetName=change_set["Id"])
        return self.settled(change_set["StackId"])

    def settled(self, stack_id: str) -> dict[str, Any]:
        cloudformation, deadline = self.client("cloudformation"), time.monotonic() + SETTLED_S
        while time.monotonic() < deadline:
            stack: dict[str, Any] = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                return stack
            time.sleep(0.1)
        raise TimeoutError(stack_id)

    def failures(self, stack: str) -> list[str]:
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        events = (event for page in pages for event in page["StackEvents"])
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@contextmanager
def aws_api(*options: str, broker_administrator: str | None = None) -> Iterator[AwsApi]:
    environment = dict(os.environ)
    if broker_administrator is not None:
        environment[BROKER_ADMINISTRATOR] = broker_administrator
    port = free_port()
    argv = [
        sys.executable,
        "-m",
        "local.aws",
        "--port",
        str(port),
        "--database",
        DATABASE,
        "--broker",
        BROKER,
        *options,
    ]
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield AwsApi(port=port, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(5)
        assert process.stdout is not None
        process.stdout.close()
