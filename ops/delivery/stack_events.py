"""Follows what CloudFormation does to a stack, by the stack's events.

The status would not do: just after a change set is told to execute it may still be that of the deployment before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from ops.delivery.errors import Failed
from ops.delivery.patience import pauses

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
STACK = "AWS::CloudFormation::Stack"

Event = dict[str, Any]


def latest_event(cloudformation: Any, stack: str) -> str:
    """The id of the stack's latest event."""
    return str(next(_events(cloudformation, stack))["EventId"])


def follow(cloudformation: Any, stack: str, *, after: str) -> None:
    """Waits for the end of what began after that event; Failed, with the first reason, when it did not end well."""
    for pause_s in pauses():
        news = list(takewhile(lambda event: event["EventId"] != after, _events(cloudformation, stack)))
        status = end_of(news)
        if status in GOOD:
            return
        if status is not None:
            raise Failed(f"the stack {stack} is {status}: {first_failure(news)}")
        time.sleep(pause_s)


def end_of(events: Sequence[Event]) -> str | None:
    """The status in which the stack came to rest, by its events, the latest first; None while it has not."""
    for event in events:
        status = str(event["ResourceStatus"])
        is_the_stacks = event["ResourceType"] == STACK and event["PhysicalResourceId"] == event["StackId"]
        if is_the_stacks and (status in GOOD or not status.endswith("_IN_PROGRESS")):
            return status
    return None


def first_failure(events: Sequence[Event]) -> str:
    """Who failed first, and why: what failed after it was mostly cancelled for it."""
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return "no reason was given"
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', failed[-1]['ResourceStatus'])}"


def _events(cloudformation: Any, stack: str) -> Iterator[Event]:
    """The latest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
        yield from page["StackEvents"]
