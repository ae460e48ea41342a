"""Invokes functions by the deployed EventBridge rules: on a schedule, and on matching events."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local.aws.backend.settings import DEFAULT_ACCOUNT
from local.aws.iam.sessions import FUNCTIONS, RoleSession, Service
from local.lambdas.function import Function, InvocationFailed
from local.lambdas.permissions import why_not_invoked
from project.errors import CommandError

log = logging.getLogger(__name__)

RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
UNIT_S = {"minute": 60, "hour": 3600, "day": 86400}


class UnsupportedRule(CommandError):
    """The local stack does not support a rule; the message names it in one line."""


class NotAllowed(CommandError):
    """A rule may not invoke its function, or Lambda may not take the function's role."""


def period_s(expression: str) -> int:
    """Return the seconds between invocations of a `rate(...)` expression."""
    match = RATE.fullmatch(expression)
    if not match:
        raise UnsupportedRule(f"schedule {expression!r} is not supported locally; only rate(N minutes|hours|days) is")
    return int(match.group(1)) * UNIT_S[match.group(2)]


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event has one of the values of each field of the pattern.

    Of EventBridge's operators it knows `prefix`; raises UnsupportedRule for others.
    """
    for key, wanted in pattern.items():
        found = event.get(key)
        if isinstance(wanted, dict):
            if not isinstance(found, dict) or not matches(wanted, found):
                return False
            continue
        values = found if isinstance(found, list) else [found]
        if not any(_is_wanted(value, each, key) for value in values for each in wanted):
            return False
    return True


def _is_wanted(value: Any, wanted: Any, key: str) -> bool:
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    if wanted.keys() != {"prefix"}:
        raise UnsupportedRule(f"event pattern operator in {key!r} is not supported locally: {wanted}")
    return isinstance(value, str) and value.startswith(wanted["prefix"])


class Rules:
    """The rules of the stack and their functions."""

    def __init__(
        self,
        *,
        clients: Any,
        platform: dict[str, str],
        resolve: Callable[[Mapping[str, str]], dict[str, str]],
    ) -> None:
        """Read the rules and fetch their functions. Raises UnsupportedRule or NotAllowed.

        `platform`: the variables that every function gets, without credentials.
        """
        self._clients, self._platform, self._resolve = clients, platform, resolve
        self._service = Service(FUNCTIONS, endpoint=clients.endpoint, region=clients.region)
        self._closing = threading.Event()
        self._functions: dict[str, Function] = {}
        self._schedules: list[tuple[int, Function]] = []
        self._patterns: list[tuple[dict[str, Any], Function]] = []
        self._region = clients.region
        for rule in clients.events.list_rules()["Rules"]:
            for target in clients.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                function = self._function(target["Arn"])
                if why := why_not_invoked(self._clients, function=function.arn, rule=rule["Arn"]):
                    raise NotAllowed(f"rule {rule['Name']} may not invoke {function.name}: {why}")
                if expression := rule.get("ScheduleExpression"):
                    self._schedules.append((period_s(expression), function))
                if pattern := rule.get("EventPattern"):
                    self._patterns.append((_checked(pattern), function))

    def start(self) -> None:
        """Begin to invoke: each schedule at once and then by its rate."""
        for number, (seconds, function) in enumerate(self._schedules):
            arguments = (seconds, function)
            threading.Thread(target=self._repeat, args=arguments, name=f"schedule-{number}", daemon=True).start()

    def close(self) -> None:
        """Stop invoking and end the functions' processes."""
        self._closing.set()
        for function in self._functions.values():
            function.close()

    def function(self, name: str) -> Function:
        """Return a function of the stack by its name."""
        return next(f for f in self._functions.values() if f.name == name)

    def reach(self, endpoint: str) -> None:
        """Let all functions call AWS at another address from now on; invocations under way fail."""
        for function in self._functions.values():
            function.reach(endpoint)

    def deployment_changed(self, *, service_arn: str, deployment: str, state: str) -> None:
        """Publish the event "ECS Deployment State Change" for a rollout state, such as IN_PROGRESS or COMPLETED."""
        detail = {"eventType": "INFO", "eventName": f"SERVICE_DEPLOYMENT_{state}", "deploymentId": deployment}
        self.publish("aws.ecs", "ECS Deployment State Change", resources=[service_arn], detail=detail)

    def publish(self, source: str, detail_type: str, *, resources: list[str], detail: dict[str, Any]) -> None:
        """Invoke the functions whose pattern matches, each in a thread of its own."""
        event = {**_envelope(source, detail_type, self._region), "resources": resources, "detail": detail}
        for pattern, function in self._patterns:
            if not self._closing.is_set() and matches(pattern, event):
                threading.Thread(target=self._invoke, args=(function, event), daemon=True).start()

    def _function(self, arn: str) -> Function:
        if ":lambda:" not in arn:
            raise UnsupportedRule(f"rule target {arn} is not supported locally; only functions are")
        if arn not in self._functions:
            name = arn.rsplit(":", 1)[-1]
            try:
                self._functions[arn] = Function(
                    clients=self._clients,
                    name=name,
                    platform=self._platform,
                    resolve=self._resolve,
                    # The local API takes a session's name for that of the function whose code calls.
                    assume=lambda role: RoleSession(self._service, role, session=name),
                )
            except ClientError as error:
                raise NotAllowed(f"function {name}: {error}") from error
        return self._functions[arn]

    def _repeat(self, seconds: int, function: Function) -> None:
        due = time.monotonic()
        while True:
            self._invoke(function, _envelope("aws.events", "Scheduled Event", self._region))
            # From due time to due time, so that it does not drift; after an overrun the function is invoked at once.
            due = max(due + seconds, time.monotonic())
            if self._closing.wait(due - time.monotonic()):
                return

    def _invoke(self, function: Function, event: dict[str, Any]) -> None:
        try:
            function.invoke(event)
        except InvocationFailed as error:
            if not self._closing.is_set():
                log.warning("%s", error)


def _checked(pattern: str | dict[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(pattern) if isinstance(pattern, str) else pattern
    matches(parsed, {})
    return parsed


def _envelope(source: str, detail_type: str, region: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": source,
        "detail-type": detail_type,
        "account": DEFAULT_ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [],
        "detail": {},
    }
