"""Entry point of the version check: by schedule, on ECS deployments, on demand, as a gate."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from fleet.registry import Registry, Roster
from shared import aws
from shared.broker import BROKER_ERRORS, Broker, broker_of
from version_check.compare import IN_SYNC, UNKNOWN, Gap, Verdict, compare
from version_check.settings import Settings
from version_check.tasks import expected_members

VERSIONS_IN_SYNC = "VersionsInSync"
VERSIONS_UNKNOWN = "VersionsUnknown"

logger = Logger()


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What an invocation works with; kept between invocations, so connections stay open."""

    settings: Settings
    broker: Broker
    ecs: Any


@functools.cache
def wiring() -> Wiring:
    settings = Settings.from_environment(os.environ)
    return Wiring(settings=settings, broker=broker_of(settings.broker), ecs=aws.client("ecs"))


def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Returns the verdict: {"status", "reference", "compared", "out_of_sync": [...], "unknown": [...]}."""
    verdict = check(wiring())
    publish(verdict)
    return verdict.to_record()


def check(parts: Wiring) -> Verdict:
    expected = expected_members(parts.ecs, cluster=parts.settings.cluster, services=parts.settings.services)
    gaps = list(expected.gaps)
    # ECS first: a container that starts in between has then reported without being expected, not the other way round.
    try:
        roster = Registry(parts.broker.connect()).members()
    except BROKER_ERRORS as error:
        gaps.append(Gap(who="fleet", why=aws.in_words(error)))
        roster = Roster(members=(), malformed=())
    return compare(roster.members, malformed=roster.malformed, expected=expected.members, gaps=gaps)


def publish(verdict: Verdict) -> None:
    """One log line, a warning unless in sync, and the metrics."""
    is_well = verdict.status == IN_SYNC
    (logger.info if is_well else logger.warning)("versions", extra={"versions": verdict.to_record()})
    metrics = EphemeralMetrics(service="")
    metrics.add_metric(name=VERSIONS_IN_SYNC, unit=MetricUnit.Count, value=int(is_well))
    metrics.add_metric(name=VERSIONS_UNKNOWN, unit=MetricUnit.Count, value=int(verdict.status == UNKNOWN))
    metrics.flush_metrics()
