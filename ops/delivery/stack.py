"""The stack of an environment in CloudFormation: propose a change set with SAM CLI, execute it, follow its events."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ops.delivery.release import Failed, Refused

IMAGE = "ImageUri"
PROTECTION = "DeletionProtection"  # both are parameters of the template; a test compares
ARN = re.compile(r"arn:[a-z-]+:cloudformation:\S+:changeSet/\S+")
# In place of an ARN: nothing changes, so there is no change set to execute.
NOTHING = "none"
# A stack with one of these statuses has no resources.
EMPTY = ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE")
SAM_TIMEOUT_S = 900
TEMPLATE = Path(".aws-sam", "build", "template.yaml")  # where `sam build` leaves it


def deploy_settings(root: Path, environment: str) -> dict[str, Any]:
    """Return samconfig.toml's settings for `sam deploy` to this environment."""
    found: dict[str, Any] = tomllib.loads((root / "samconfig.toml").read_text())[environment]["deploy"]["parameters"]
    return found


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

    def lines(self) -> Iterator[str]:
        """Yield what the change set does, for people."""
        if self.arn == NOTHING:
            yield "  nothing changes in the stack"
            return
        yield f"  change set {self.arn}"
        for change in self.changes:
            replaced = f" (replaced: {change.replacement.lower()})" if change.replacement not in ("", "False") else ""
            yield f"    {change.action.lower():8} {change.title}, {change.kind}{replaced}"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """An environment's stack, of the project in `root`. `role`: CloudFormation's; empty for the caller's own."""

    environment: str
    name: str
    region: str
    cloudformation: Any
    bucket: str
    role: str
    root: Path

    def exists(self) -> bool:
        """Return whether the stack has resources. Raises what boto3 raises."""
        try:
            (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return False
            raise
        return stack["StackStatus"] not in EMPTY

    def propose(self, image: str, *, is_first: bool = False) -> Proposal:
        """Make a change set that deploys this image. Raises Failed with SAM's last line when that fails.

        `is_first`: it creates the stack, without deletion protection: a rollback could not delete what is protected.
        """
        done = subprocess.run(
            self._command(image, is_first=is_first),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=SAM_TIMEOUT_S,
        )
        if done.returncode:
            raise Failed(f"sam deploy could not make the change set: {_last_line(done.stderr or done.stdout)}")
        found = ARN.search(done.stdout)
        return self.read(found.group(0), image=image) if found else Proposal(arn=NOTHING)

    def _command(self, image: str, *, is_first: bool) -> list[str]:
        """Return `sam deploy` with samconfig.toml's values but another bucket: SAM takes none beside resolve_s3."""
        config = deploy_settings(self.root, self.environment)
        unprotected = [f"{PROTECTION}=false"] if is_first else []
        options = {
            "--template-file": [str(self.root / TEMPLATE)],
            "--stack-name": [self.name],
            "--region": [self.region],
            "--capabilities": config["capabilities"].split(),
            "--tags": config["tags"].split(),
            "--s3-bucket": [self.bucket],
            "--s3-prefix": [config["s3_prefix"]],
            "--parameter-overrides": [config["parameter_overrides"], f"{IMAGE}={image}", *unprotected],
            **({"--role-arn": [self.role]} if self.role else {}),
        }
        flags = ["--no-execute-changeset", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        sam = str(Path(sys.executable).with_name("sam"))
        return [sam, "deploy", *flags, *(word for name, values in options.items() for word in (name, *values))]

    def read(self, arn: str, *, image: str) -> Proposal:
        """Return what a change set would change. Raises Refused when it deploys another image or another stack."""
        if arn == NOTHING:
            return Proposal(arn=NOTHING)
        pages = list(self._pages(arn))
        brings = {each["ParameterKey"]: each.get("ParameterValue") for each in pages[0].get("Parameters", [])}
        if brings.get(IMAGE) != image:
            raise Refused(f"the change set deploys {brings.get(IMAGE)}, not {image}: make a new plan")
        if pages[0]["StackName"] != self.name:
            raise Refused(f"the change set is for the stack {pages[0]['StackName']}, not {self.name}: make a new plan")
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
        """Execute the change set and wait. Raises Failed, with the first reason, when CloudFormation rolls back."""
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


GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
STACK = "AWS::CloudFormation::Stack"

Event = dict[str, Any]


def latest_event(cloudformation: Any, stack: str) -> str:
    """Return the id of the stack's latest event."""
    return str(next(_events(cloudformation, stack))["EventId"])


def follow(cloudformation: Any, stack: str, *, after: str) -> None:
    """Wait for the end of the update that began after that event. Raises Failed, with the first reason."""
    for pause_s in pauses():
        news = list(takewhile(lambda event: event["EventId"] != after, _events(cloudformation, stack)))
        status = final_status(news)
        if status in GOOD:
            return
        if status is not None:
            raise Failed(f"the stack {stack} is {status}: {first_failure(news)}")
        time.sleep(pause_s)


def final_status(events: Sequence[Event]) -> str | None:
    """Return the stack's final status from its events, the latest first; None while the update runs."""
    for event in events:
        status = str(event["ResourceStatus"])
        is_the_stacks = event["ResourceType"] == STACK and event["PhysicalResourceId"] == event["StackId"]
        if is_the_stacks and (status in GOOD or not status.endswith("_IN_PROGRESS")):
            return status
    return None


def first_failure(events: Sequence[Event]) -> str:
    """Return the resource that failed first, and why: later failures are mostly cancellations because of it."""
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return "no reason was given"
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', failed[-1]['ResourceStatus'])}"


def _events(cloudformation: Any, stack: str) -> Iterator[Event]:
    """Yield the stack's events, the latest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
        yield from page["StackEvents"]


FIRST_S, LONGEST_S, GROWTH = 0.2, 15.0, 1.5


def pauses() -> Iterator[float]:
    """Yield pauses in seconds, short at first and then longer."""
    pause_s = FIRST_S
    while True:
        yield pause_s
        pause_s = min(LONGEST_S, GROWTH * pause_s)
