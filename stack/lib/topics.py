"""Lets tasks of a pool publish to topics of SNS that are not the stack's own."""

import re
from collections.abc import Sequence

from troposphere import Sub

from stack.lib.iam import Statement, allow

STACK_NAME = "${AWS::StackName}"
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\$\{AWS::StackName\})+(?:\.fifo)?")


def publish_to(topics: Sequence[str]) -> list[Statement]:
    """Return the statements for topics of the stack's account and region, which are given by their names.

    A name may hold `${AWS::StackName}`, to differ by environment. Raises ValueError for what is no name, or is one of
    the stack's own topics, which tasks are denied.
    """
    for name in topics:
        if not _NAME.fullmatch(name):
            raise ValueError(f"topic {name!r} is no name: letters, digits, dashes, underscores and {STACK_NAME}")
        if name.startswith(f"{STACK_NAME}-"):
            raise ValueError(f"topic {name!r} begins as the stack's own, which tasks are denied: put {STACK_NAME} last")
    if not topics:
        return []
    arn = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}"
    return [allow(actions=["sns:Publish"], resources=[Sub(f"{arn}:{name}") for name in topics])]
