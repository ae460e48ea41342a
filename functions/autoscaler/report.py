"""Reports every decision: a record, a log line, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from autoscaler.decide import Decision
from autoscaler.observation import Fleet, Observation, Service, Unreadable
from autoscaler.redis_reader import BrokerState
from autoscaler.revision import Step
from fleet.member import CONSUMING, DRAINED, DRAINING

# Alarms name both: several stacks of one account share the namespace.
CLUSTER_DIMENSION = "cluster"
POOL_DIMENSION = "pool"
INPUT_DIMENSION = "input"  # of UNREADABLE, beside those two: which one it was

QUEUED = "Queued"
ACTIVE = "Active"
DESIRED = "Desired"
RUNNING = "Running"
PENDING = "Pending"
CONSUMING_WORKERS = "Consuming"
DRAINING_WORKERS = "Draining"
DRAINED_WORKERS = "Drained"
TROUBLED_WORKERS = "Troubled"
UNREADABLE = "Unreadable"
MALFORMED = "Malformed"
UNKNOWN = "Unknown"
FAILED = "Failed"
OLDEST_WAIT = "OldestWait"
ROLLOUT_GIVEN_UP = "RolloutGivenUp"

# A record names so many ignored members: 500 records are kept, and anyone who may report may add members.
MOST_NAMED = 20
MOST_CHARACTERS = 80

# Of the fleet as a whole, without a pool.
PHANTOMS = "Phantoms"
UNCONSUMED_QUEUES = "UnconsumedQueues"
DECISION_LATENCY = "DecisionLatency"
SCHEDULERS = "Schedulers"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a tick saw of one pool, what it decided, and in words what went wrong.

    `step`: of the rollout of the stack's revision; None where nothing was decided about it.
    """

    pool: str
    observation: Observation
    decision: Decision
    problems: tuple[str, ...] = ()
    step: Step | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether the stack's revision did not work: the service has an earlier one, or goes back to it."""
        return self.step is not None and self.step.is_confirmed

    @property
    def has_failed_revision(self) -> bool:
        """Whether the stack's revision did not work, be it given up or not."""
        return self.is_given_up or (self.step is not None and bool(self.step.stuck))

    @property
    def reason(self) -> str:
        """The decision's reason, and what happens to the rollout."""
        return "; ".join(filter(None, (self.decision.reason, "" if self.step is None else self.step.in_words)))

    def figures(self) -> dict[str, int]:
        """Return the figures by metric name. An input that could not be read has none: a zero would seem measured."""
        queued, fleet, service = self.observation.queued, self.observation.fleet, self.observation.service
        figures = {UNREADABLE: len(self.observation.unreadable), FAILED: len(self.problems)}
        if not isinstance(queued, Unreadable):
            figures[QUEUED] = sum(queued.values())
        if isinstance(fleet, Fleet):
            states = [worker.state for worker in fleet.workers]
            figures |= {ACTIVE: fleet.active, MALFORMED: len(fleet.malformed) + len(fleet.limited)}
            figures |= {UNKNOWN: len(fleet.ignored)}
            consuming = sum(worker.is_consuming for worker in fleet.workers)
            figures |= {CONSUMING_WORKERS: consuming, TROUBLED_WORKERS: states.count(CONSUMING) - consuming}
            figures |= {DRAINING_WORKERS: states.count(DRAINING), DRAINED_WORKERS: states.count(DRAINED)}
        if isinstance(service, Service) and self.decision.desired is not None:
            figures |= {DESIRED: self.decision.desired, RUNNING: service.running, PENDING: service.pending}
        if self.step is not None:
            figures[ROLLOUT_GIVEN_UP] = int(self.has_failed_revision)
        return figures

    @property
    def is_well(self) -> bool:
        """Whether everything could be read, was well-formed and was carried out."""
        fleet = self.observation.fleet
        doubted = (*fleet.malformed, *fleet.limited, *fleet.ignored) if isinstance(fleet, Fleet) else ()
        return not (self.observation.unreadable or doubted or self.problems or self.has_failed_revision)

    @property
    def oldest_wait_s(self) -> float | None:
        """A lower bound of the oldest message's wait; None when the queues could not be read."""
        wait = self.decision.oldest_wait_s
        return None if wait is None else round(wait, 3)

    def to_record(self) -> dict[str, Any]:
        """Return the decision with its inputs for JSON; `t` is Redis's time in seconds since the epoch."""
        service, fleet = self.observation.service, self.observation.fleet
        ignored = fleet.ignored[:MOST_NAMED] if isinstance(fleet, Fleet) else ()
        return {
            "t": self.observation.now,
            "pool": self.pool,
            "reason": self.reason,
            "needed": self.decision.needed,
            "oldest_wait": self.oldest_wait_s,
            "was": service.desired if isinstance(service, Service) else None,
            "drain": list(self.decision.drain),
            "recall": list(self.decision.recall),
            "unreadable": [str(part) for part in self.observation.unreadable],
            "problems": list(self.problems),
            **({"ignored": [name[:MOST_CHARACTERS] for name in ignored]} if ignored else {}),
            **{name.lower(): figure for name, figure in self.figures().items() if name not in (UNREADABLE, FAILED)},
        }


def publish(outcomes: Sequence[Outcome], *, cluster: str, logger: Logger) -> None:
    """Write a log line and a set of metrics per pool, and one more set for each input that could not be read.

    The line is a warning when something went wrong.
    """
    for outcome in outcomes:
        (logger.info if outcome.is_well else logger.warning)("decision", extra={"decision": outcome.to_record()})
        whose = {CLUSTER_DIMENSION: cluster, POOL_DIMENSION: outcome.pool}
        metrics = _metrics(whose)
        for name, figure in outcome.figures().items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=figure)
        if outcome.oldest_wait_s is not None:
            metrics.add_metric(name=OLDEST_WAIT, unit=MetricUnit.Seconds, value=outcome.oldest_wait_s)
        metrics.flush_metrics()
        for part in outcome.observation.unreadable:
            metrics = _metrics({**whose, INPUT_DIMENSION: part.source})
            metrics.add_metric(name=UNREADABLE, unit=MetricUnit.Count, value=1)
            metrics.flush_metrics()


def publish_state(state: BrokerState, *, took_ms: float, cluster: str, logger: Logger) -> None:
    """Write the metrics of the whole fleet; warn about missing ones, and about queues that no worker consumes."""
    metrics = _metrics({CLUSTER_DIMENSION: cluster})
    metrics.add_metric(name=DECISION_LATENCY, unit=MetricUnit.Milliseconds, value=took_ms)
    if state.phantoms is not None:
        metrics.add_metric(name=PHANTOMS, unit=MetricUnit.Count, value=state.phantoms)
    if state.schedulers is not None:
        metrics.add_metric(name=SCHEDULERS, unit=MetricUnit.Count, value=state.schedulers)
    if state.unconsumed is not None:
        metrics.add_metric(name=UNCONSUMED_QUEUES, unit=MetricUnit.Count, value=len(state.unconsumed))
    metrics.flush_metrics()
    if state.problem:
        logger.warning("figures of the fleet are missing", extra={"problem": state.problem})
    if state.unconsumed:
        logger.warning("messages wait in queues that no worker consumes", extra={"queues": list(state.unconsumed)})


def _metrics(dimensions: dict[str, str]) -> EphemeralMetrics:
    # An empty service name leaves its dimension out.
    metrics = EphemeralMetrics(service="")
    for name, value in dimensions.items():
        metrics.add_dimension(name=name, value=value)
    return metrics
