"""Makes every decision explain itself: a record, a log line, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from autoscaler.decide import Decision
from autoscaler.observation import Fleet, Observation, Service, Unreadable
from fleet.registry import CONSUMING, DRAINED, DRAINING

POOL_DIMENSION = "pool"

QUEUED = "Queued"
ACTIVE = "Active"
DESIRED = "Desired"
RUNNING = "Running"
PENDING = "Pending"
CONSUMING_WORKERS = "Consuming"
DRAINING_WORKERS = "Draining"
DRAINED_WORKERS = "Drained"
UNREADABLE = "Unreadable"
MALFORMED = "Malformed"
FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was seen of one pool, what was decided, and in words what went wrong on the way."""

    pool: str
    observation: Observation
    decision: Decision
    problems: tuple[str, ...] = ()

    def figures(self) -> dict[str, int]:
        """The figures by metric name. What could not be read has none: a zero would look like a measurement."""
        queued, fleet, service = self.observation.queued, self.observation.fleet, self.observation.service
        figures = {UNREADABLE: len(self.observation.unreadable), FAILED: len(self.problems)}
        if not isinstance(queued, Unreadable):
            figures[QUEUED] = sum(queued.values())
        if isinstance(fleet, Fleet):
            states = [worker.state for worker in fleet.workers]
            figures |= {ACTIVE: fleet.active, MALFORMED: len(fleet.malformed)}
            figures |= {CONSUMING_WORKERS: states.count(CONSUMING), DRAINING_WORKERS: states.count(DRAINING)}
            figures |= {DRAINED_WORKERS: states.count(DRAINED)}
        if isinstance(service, Service) and self.decision.desired is not None:
            figures |= {DESIRED: self.decision.desired, RUNNING: service.running, PENDING: service.pending}
        return figures

    def to_record(self) -> dict[str, Any]:
        """The decision with its inputs, as JSON can hold it; `t` is Redis's time in seconds since the epoch."""
        service = self.observation.service
        return {
            "t": self.observation.now,
            "pool": self.pool,
            "reason": self.decision.reason,
            "needed": self.decision.needed,
            "was": service.desired if isinstance(service, Service) else None,
            "drain": list(self.decision.drain),
            "recall": list(self.decision.recall),
            "unreadable": [str(part) for part in self.observation.unreadable],
            "problems": list(self.problems),
            **{name.lower(): figure for name, figure in self.figures().items() if name not in (UNREADABLE, FAILED)},
        }


def publish(outcomes: Sequence[Outcome], *, logger: Logger) -> None:
    """One log line and one set of metrics a pool; the line is a warning when something went wrong."""
    for outcome in outcomes:
        is_well = not outcome.observation.unreadable and not outcome.problems
        (logger.info if is_well else logger.warning)("decision", extra={"decision": outcome.to_record()})
        # An empty service name leaves its dimension out: alarms refer to the pool alone.
        metrics = EphemeralMetrics(service="")
        metrics.add_dimension(name=POOL_DIMENSION, value=outcome.pool)
        for name, figure in outcome.figures().items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=figure)
        metrics.flush_metrics()
