"""Says whether EventBridge may invoke a function, by the function's own policy."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from local.aws.backend.settings import DEFAULT_ACCOUNT
from local.aws.iam.policies import Principal, Request, Rules, decide

EVENTS = "events.amazonaws.com"
NO_POLICY = "ResourceNotFoundException"


def why_not_invoked(clients: Any, *, function: str, rule: str) -> str:
    """Return why the rule may not invoke the function (both by ARN), in IAM's words; empty if it may.

    Raises UnsupportedPolicy and ClientError.
    """
    request = Request(
        principal=Principal(service=EVENTS),
        action="lambda:InvokeFunction",
        resource=function,
        context={"aws:sourcearn": rule, "aws:sourceaccount": DEFAULT_ACCOUNT},
    )
    return decide(request, Rules(resource=_policy(clients, function), needs_resource=True)).why


def _policy(clients: Any, function: str) -> str | None:
    try:
        return str(getattr(clients, "lambda").get_policy(FunctionName=function)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != NO_POLICY:
            raise
        return None
