"""Proposes a deployment to CloudFormation with SAM CLI, as a change set that people can read before it is executed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ops.delivery.errors import Failed, Refused
from ops.delivery.stack_events import follow, latest_event

IMAGE = "ImageUri"
ARN = re.compile(r"arn:[a-z-]+:cloudformation:\S+:changeSet/\S+")
# What a change set of nothing is called: there is none to execute.
NOTHING = "none"
# A stack in one of these holds nothing, or nothing any more.
EMPTY = ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE")
SAM_TIMEOUT_S = 900
TEMPLATE = Path(".aws-sam", "build", "template.yaml")  # where `sam build` leaves it


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of a change set. `replacement`: "True", "False", "Conditional" or empty."""

    action: str
    title: str
    kind: str
    replacement: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change set: its ARN, or NOTHING, and what it would change."""

    arn: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stack:
    """An environment's stack, of the project in `root`. `role`: CloudFormation's, empty for the caller's own."""

    environment: str
    name: str
    region: str
    cloudformation: Any
    bucket: str
    role: str
    root: Path

    def exists(self) -> bool:
        """Whether there is something in it. Raises what boto3 raises."""
        try:
            (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return False
            raise
        return stack["StackStatus"] not in EMPTY

    def propose(self, image: str) -> Proposal:
        """A change set that brings this image; Failed with SAM's own words when it cannot be made."""
        done = subprocess.run(
            self._command(image), cwd=self.root, capture_output=True, text=True, check=False, timeout=SAM_TIMEOUT_S
        )
        if done.returncode:
            raise Failed(f"sam deploy could not make the change set: {_last_line(done.stderr or done.stdout)}")
        found = ARN.search(done.stdout)
        return self.read(found.group(0), image=image) if found else Proposal(arn=NOTHING)

    def _command(self, image: str) -> list[str]:
        """`sam deploy` of samconfig.toml's section but for its bucket: SAM takes no other one beside resolve_s3."""
        config = tomllib.loads((self.root / "samconfig.toml").read_text())[self.environment]["deploy"]["parameters"]
        options = {
            "--template-file": [str(self.root / TEMPLATE)],
            "--stack-name": [self.name],
            "--region": [self.region],
            "--capabilities": config["capabilities"].split(),
            "--tags": config["tags"].split(),
            "--s3-bucket": [self.bucket],
            "--s3-prefix": [config["s3_prefix"]],
            "--parameter-overrides": [config["parameter_overrides"], f"{IMAGE}={image}"],
            **({"--role-arn": [self.role]} if self.role else {}),
        }
        flags = ["--no-execute-changeset", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        sam = str(Path(sys.executable).with_name("sam"))
        return [sam, "deploy", *flags, *(word for name, values in options.items() for word in (name, *values))]

    def read(self, arn: str, *, image: str) -> Proposal:
        """What a change set would change; Refused when it brings another image than the one that was asked for."""
        if arn == NOTHING:
            return Proposal(arn=NOTHING)
        pages = list(self._pages(arn))
        brings = {each["ParameterKey"]: each.get("ParameterValue") for each in pages[0].get("Parameters", [])}
        if brings.get(IMAGE) != image:
            raise Refused(f"the change set brings {brings.get(IMAGE)}, and not {image}")
        if pages[0]["StackName"] != self.name:
            raise Refused(f"the change set is one of the stack {pages[0]['StackName']}, and not of {self.name}")
        return Proposal(arn=arn, changes=tuple(_change(each) for page in pages for each in page["Changes"]))

    def _pages(self, arn: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self.cloudformation.describe_change_set(ChangeSetName=arn, **more)
            yield page
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def execute(self, proposal: Proposal) -> None:
        """Executes it and waits; Failed, with the first reason, when CloudFormation rolls it back."""
        if proposal.arn == NOTHING:
            return
        before = latest_event(self.cloudformation, self.name)
        self.cloudformation.execute_change_set(ChangeSetName=proposal.arn)
        follow(self.cloudformation, self.name, after=before)


def _change(entry: dict[str, Any]) -> Change:
    change = entry["ResourceChange"]
    return Change(
        action=change["Action"],
        title=change["LogicalResourceId"],
        kind=change["ResourceType"],
        replacement=change.get("Replacement") or "",
    )


def _last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no message"])[-1]
