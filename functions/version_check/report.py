"""Publishes a check: one log line, metrics."""

from __future__ import annotations

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from version_check.check import Outcome
from version_check.verdict import ASLEEP, IN_SYNC, UNKNOWN

# Alarms name it: several stacks of one account share the namespace.
CLUSTER_DIMENSION = "cluster"
VERSIONS_IN_SYNC = "VersionsInSync"
VERSIONS_UNKNOWN = "VersionsUnknown"
SECONDS_OUT_OF_SYNC = "SecondsOutOfSync"
STRAY_MEMBERS = "StrayMembers"
LOGGED_AT_MOST = 50  # of each list: a line in CloudWatch has a limit, and the answer of the function has all


def publish(outcome: Outcome, *, cluster: str, logger: Logger) -> None:
    """A warning unless in sync. What is not known, or sleeps, has no figure: a zero would look like a measurement."""
    verdict = outcome.verdict
    is_well = verdict.status in (ASLEEP, IN_SYNC) and not outcome.problems
    record = outcome.to_record(at_most=LOGGED_AT_MOST)
    (logger.info if is_well else logger.warning)("versions", extra={"versions": record})
    if verdict.is_asleep:
        return
    metrics = EphemeralMetrics(service="")  # an empty service name leaves its dimension out
    metrics.add_dimension(name=CLUSTER_DIMENSION, value=cluster)
    metrics.add_metric(name=VERSIONS_IN_SYNC, unit=MetricUnit.Count, value=int(verdict.status == IN_SYNC))
    metrics.add_metric(name=VERSIONS_UNKNOWN, unit=MetricUnit.Count, value=int(verdict.status == UNKNOWN))
    metrics.add_metric(name=STRAY_MEMBERS, unit=MetricUnit.Count, value=len(verdict.strays) + verdict.malformed)
    if outcome.memory is not None:
        seconds = outcome.memory.seconds_out_of_sync()
        metrics.add_metric(name=SECONDS_OUT_OF_SYNC, unit=MetricUnit.Seconds, value=seconds)
    metrics.flush_metrics()
