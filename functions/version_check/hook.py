"""Entry point of the deployment lifecycle hook: tells ECS whether the tasks that it has just started run one code.

A deployment's new tasks are compared with each other, not with the webserver: that one may well be deployed later.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger

from fleet.registry import WEBSERVER, WORKER, Member, Registry
from fleet.releases import is_older
from shared import aws
from shared.broker import BROKER_ERRORS, Broker, broker_of
from shared.ecs import describe_services
from shared.settings import CLUSTER, BrokerSettings, required
from version_check.compare import Container
from version_check.tasks import containers_of_revision

SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
IN_PROGRESS = "IN_PROGRESS"
CALL_BACK_S = 15
# A container reports some seconds after it began to run; one that has not by then never will.
LIMIT_S = 600.0
SINCE = "since"

logger = Logger()


@dataclass(frozen=True, kw_only=True)
class Wiring:
    cluster: str
    broker: Broker
    ecs: Any


@functools.cache
def wiring() -> Wiring:
    return Wiring(
        cluster=required(os.environ, CLUSTER),
        broker=broker_of(BrokerSettings.from_environment(os.environ)),
        ecs=aws.client("ecs"),
    )


def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """`event` is ECS's; returns {"hookStatus", "callBackDelay", "hookDetails"}, of which ECS hands back the last."""
    details = event["executionDetails"]
    now = time.time()
    since = (event.get("hookDetails") or {}).get(SINCE, now)
    status, why = look(wiring(), service=details["serviceArn"], revision=details["targetServiceRevisionArn"])
    if status == IN_PROGRESS and now - since >= LIMIT_S:
        status, why = FAILED, f"after {LIMIT_S:.0f} s: {why}"
    (logger.warning if status == FAILED else logger.info)(
        "deployment", extra={"service": details["serviceArn"], "hook_status": status, "why": why}
    )
    return {"hookStatus": status, "callBackDelay": CALL_BACK_S, "hookDetails": {SINCE: since}}


def look(parts: Wiring, *, service: str, revision: str) -> tuple[str, str]:
    """The hook's status, and why. What cannot be read is still in progress."""
    try:
        described = describe_services(parts.ecs, cluster=parts.cluster, services=[service])[service]
        if isinstance(described, str):
            return IN_PROGRESS, described
        containers = containers_of_revision(parts.ecs, cluster=parts.cluster, service=service, revision=revision)
        members = Registry(parts.broker.connect()).members().members
    except BROKER_ERRORS as error:
        return IN_PROGRESS, aws.in_words(error)
    return judge(containers, members, desired=described["desiredCount"])


def judge(containers: Sequence[Container], members: Sequence[Member], *, desired: int) -> tuple[str, str]:
    """The status, and why, of a deployment whose new containers are `containers`. Pure.

    A service that is scaled to zero has nothing to wait for.
    """
    if desired and not containers:
        return IN_PROGRESS, "no new task runs yet"
    by_id = {member.id: member for member in members}
    new = [by_id[container.member] for container in containers if container.member in by_id]
    if len({container.digest for container in containers}) > 1:
        return FAILED, "new tasks run different images"
    if len({member.code for member in new}) > 1:
        return FAILED, "new tasks report different code: " + ", ".join(sorted(member.id for member in new))
    served = [member.airflow_version for member in members if member.role == WEBSERVER]
    for worker in (member for member in new if member.role == WORKER):
        if served and all(is_older(release, than=worker.airflow_version) for release in served):
            return IN_PROGRESS, f"{worker.id} waits for a webserver of Airflow {worker.airflow_version}"
    silent = sorted({container.member for container in containers} - set(by_id))
    if silent:
        return IN_PROGRESS, f"have not reported: {', '.join(silent)}"
    if any(not member.code.is_surely(member.code) for member in new):
        return IN_PROGRESS, "new tasks do not know their code"
    return SUCCEEDED, f"{len(new)} new containers run one code"
