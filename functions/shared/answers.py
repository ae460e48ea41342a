"""Checks AWS's answers for what is read of them, before anything reads them.

An answer can be whole HTTP and not whole data: cut off, corrupted, empty, or a proxy's page. botocore then raises an
error of its parser, or returns a dictionary that lacks what it should hold. Here both are one error, MalformedAnswer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError, ResponseParserFactory

JSON_PROTOCOL = "json"
FIRST_ERROR_STATUS = 300

# What botocore's parsers raise for an answer that is not what they expect. Tests give them random ones.
PARSER_ERRORS = (
    ResponseParserError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class MalformedAnswer(BotoCoreError):
    """AWS's answer lacks something that is needed. A change that was asked for may have been made.

    The message names what is missing and holds nothing of the answer, which may be a secret.
    """

    fmt = "{operation} was answered {what}"


class Count(int):
    """Marks a whole number that is not negative."""


class Time:
    """Marks a time: a datetime, or seconds since the epoch (see aws.leave_times_as_numbers)."""


# The members that are read, by operation: a dictionary is a structure, a list holds any number of its one entry. A
# name that ends in "?" may be missing. Of an operation with None nothing is read; it may be answered without a body.
_DEPLOYMENT = {
    "id": str,
    "status": str,
    "taskDefinition": str,
    "desiredCount": Count,
    "runningCount": Count,
    "createdAt?": Time,
    "rolloutState?": str,
    "rolloutStateReason?": str,
}
_SERVICE = {
    "serviceName": str,
    "serviceArn": str,
    "status": str,
    "desiredCount": Count,
    "runningCount": Count,
    "pendingCount": Count,
    "deployments": [_DEPLOYMENT],
    "tags?": [{"key": str, "value?": str}],
}
_TASK = {
    "taskArn": str,
    "lastStatus": str,
    "group?": str,
    "startedBy?": str,
    "createdAt?": Time,
    "startedAt?": Time,
    "containers": [{"name": str, "lastStatus?": str, "image?": str, "imageDigest?": str}],
}
_FAILURES = [{"arn?": str, "reason?": str}]
_ALARM = {"AlarmName": str, "ActionsEnabled": bool, "StateValue": str}
_SUSPENDED = dict.fromkeys(
    ("DynamicScalingInSuspended?", "DynamicScalingOutSuspended?", "ScheduledScalingSuspended?"), bool
)
NEEDED: Mapping[str, Any] = {
    "DescribeAlarms": {"MetricAlarms": [_ALARM], "NextToken?": str},
    "DescribeClusters": {"clusters": [{"clusterArn": str, "tags?": [{"key": str, "value?": str}]}]},
    "DescribeDBInstances": {"DBInstances": [{"DBInstanceStatus": str}]},
    "DescribeScalableTargets": {"ScalableTargets": [{"ResourceId": str, "SuspendedState?": _SUSPENDED}]},
    "DescribeServices": {"services": [_SERVICE], "failures?": _FAILURES},
    "DescribeTasks": {"tasks": [_TASK], "failures?": _FAILURES},
    "DisableAlarmActions": None,
    "EnableAlarmActions": None,
    "GetSecretValue": {"SecretString": str},
    "ListServices": {"serviceArns": [str], "nextToken?": str},
    "ListTasks": {"taskArns": [str], "nextToken?": str},
    "Publish": {"MessageId": str},
    "RegisterScalableTarget": None,
    "SetAlarmState": None,
    "StartDBInstance": {"DBInstance": {"DBInstanceStatus": str}},
    "StopDBInstance": {"DBInstance": {"DBInstanceStatus": str}},
    "TagResource": None,
    "UntagResource": None,
    "UpdateService": {"service": {"desiredCount": Count, "taskDefinition?": str}},
}


class CheckedParsers(ResponseParserFactory):
    """Makes botocore's parsers, and checks what they return."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser of the protocol with this check."""
        return _CheckedParser(super().create_parser(protocol_name), is_json=protocol_name == JSON_PROTOCOL)


class _CheckedParser:
    def __init__(self, parser: Any, *, is_json: bool) -> None:
        self._parser, self._is_json = parser, is_json

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """Return what botocore's parser does. Raises MalformedAnswer."""
        operation, status = response["context"]["operation_name"], response["status_code"]
        has_code = shape is not None and shape.metadata.get("exception", False)  # parsed again, for the error's details
        try:
            parsed = self._parser.parse(response, shape)
        except PARSER_ERRORS:
            if has_code:
                return {}
            raise MalformedAnswer(operation=operation, what=f"with unreadable data (HTTP {status})") from None
        if status >= FIRST_ERROR_STATUS:
            if not has_code and not _is_error(parsed):
                raise MalformedAnswer(operation=operation, what=f"with HTTP {status} and no error")
            return parsed
        needed = NEEDED.get(operation)
        if needed is None:
            lacking = "" if not self._is_json or _is_json_object(response["body"]) else "JSON"
        else:
            lacking = find_lacking(parsed, needed)
        if lacking:
            raise MalformedAnswer(operation=operation, what=f"without {lacking}")
        return parsed


def find_lacking(value: Any, needed: Any) -> str:
    """Return the path of the first member that is missing or of another type, and an empty text without one."""
    return next(_lacking(value, needed, ""), "")


def _lacking(value: Any, needed: Any, path: str) -> Iterator[str]:
    where = path or "data"
    if isinstance(needed, dict):
        if not isinstance(value, dict):
            yield where
            return
        for name, inner in needed.items():
            key = name.rstrip("?")
            if key in value or key == name:
                yield from _lacking(value.get(key), inner, f"{path}.{key}" if path else key)
    elif isinstance(needed, list):
        if not isinstance(value, list):
            yield where
            return
        for index, item in enumerate(value):
            yield from _lacking(item, needed[0], f"{path}[{index}]")
    elif not _is_of(value, needed):
        yield where


def _is_of(value: Any, kind: type) -> bool:
    if kind is Count:
        return type(value) is int and value >= 0
    if kind is Time:
        return isinstance(value, datetime) or type(value) in (int, float)
    return isinstance(value, kind)


def _is_error(parsed: Any) -> bool:
    error = parsed.get("Error") if isinstance(parsed, dict) else None
    return isinstance(error, dict) and all(isinstance(error.get(name, ""), str | None) for name in ("Code", "Message"))


def _is_json_object(body: bytes) -> bool:
    """Return whether the body is a JSON object, or empty."""
    try:
        return not body or isinstance(json.loads(body), dict)
    except ValueError:
        return False
