"""Report a check: its record, one log line, metrics, and the notification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from fleet.bundles import Bundles
from fleet.member import WORKER
from fleet.work import WorkReport
from version_check.memory import Memory
from version_check.verdict import ASLEEP, IN_SYNC, OUT_OF_SYNC, UNKNOWN, Difference, Gap, Verdict
from version_check.words import duration, short, utc

LONGEST_SUBJECT = 99
SHOWN = 20

SUBJECTS = {
    IN_SYNC: "all containers run the same code again",
    OUT_OF_SYNC: "some containers run other code than the webserver",
}
UNKNOWN_SUBJECT = "unknown whether all containers run the same code"
TO_DO = {
    IN_SYNC: "Nothing.",
    OUT_OF_SYNC: (
        "During a deployment, wait: it ends when the old workers have finished their tasks. Otherwise deploy again, "
        "which replaces the containers that differ; a draining worker finishes its tasks first. Until then, a task may "
        "run other code than the UI shows."
    ),
}
TO_DO_DRAINING = "Nothing: all that take tasks run the webserver's code, and old workers finish theirs."
TO_DO_UNKNOWN = (
    "Check the containers named above: their logs (one stream per container) and their ECS tasks. A container that "
    "does not report has lost the broker or hangs; stop its ECS task, and ECS starts another one."
)
# Alarms filter by it: several stacks of one account share the namespace.
CLUSTER_DIMENSION = "cluster"
VERSIONS_IN_SYNC = "VersionsInSync"
VERSIONS_UNKNOWN = "VersionsUnknown"
SECONDS_OUT_OF_SYNC = "SecondsOutOfSync"
STRAY_MEMBERS = "StrayMembers"
LOGGED_AT_MOST = 50  # of each list: a CloudWatch log line has a size limit; the function's answer has all


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`memory` is None when it could not be stored: the start of the status is then unknown. `problems` in words.

    `bundles`: the DAG bundles that have versions; None if the scheduler has not reported them lately. `work`: how
    Airflow's work goes; None if the forecaster has not reported it lately.
    """

    verdict: Verdict
    memory: Memory | None
    problems: tuple[str, ...] = ()
    bundles: Bundles | None = None
    work: WorkReport | None = None

    def to_record(self, *, at_most: int | None = None) -> dict[str, Any]:
        """Return the verdict's record, with the start of its status and the seconds out of sync."""
        memory = self.memory
        return {
            **self.verdict.to_record(at_most=at_most),
            "since": None if memory is None else memory.since,
            "seconds_out_of_sync": None if memory is None else memory.seconds_out_of_sync(),
            "problems": list(self.problems),
            "bundles": None if self.bundles is None else [each.to_record() for each in self.bundles],
            "work": None if self.work is None else asdict(self.work),
        }


def publish(outcome: Outcome, *, cluster: str, logger: Logger) -> None:
    """Log the outcome, as a warning unless in sync or asleep, and publish its metrics.

    An unknown time and a sleeping environment have no metric: a zero would read as a measurement.
    """
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


@dataclass(frozen=True, kw_only=True)
class Message:
    subject: str
    body: str


def message_on(verdict: Verdict, memory: Memory, *, cluster: str) -> Message:
    """Return the notification of a new status; `memory` has its start."""
    subject = f"Airflow {cluster}: {SUBJECTS.get(verdict.status, UNKNOWN_SUBJECT)}"
    webserver = verdict.reference
    sections = [
        _section("Webserver", [] if webserver is None else [f"{webserver.member}: {_in_words(webserver.code)}"]),
        _section("Other code", _differences(verdict.out_of_sync)),
        _section("Unknown", [_gap(gap, verdict.at) for gap in verdict.unknown]),
        _section("Problems", verdict.notes),
        _section("Since", [f"{utc(memory.since)} ({duration(verdict.at - memory.since)})"]),
        _section("What to do", [_to_do(verdict)]),
    ]
    return Message(subject=subject[:LONGEST_SUBJECT], body="\n\n".join(filter(None, sections)) + "\n")


def _to_do(verdict: Verdict) -> str:
    return TO_DO_DRAINING if verdict.is_draining_only else TO_DO.get(verdict.status, TO_DO_UNKNOWN)


def _section(title: str, lines: Iterable[str]) -> str:
    every = list(lines)
    more = [f"and {len(every) - SHOWN} more"] if len(every) > SHOWN else []
    return "\n".join([f"{title}:", *(f"  {line}" for line in [*every[:SHOWN], *more])]) if every else ""


def _differences(differences: Iterable[Difference]) -> list[str]:
    """Return one line per container with all fields that differ; containers that take tasks come first."""
    by_member = sorted(differences, key=lambda each: (each.is_draining, each.member))
    lines = []
    for member, group in groupby(by_member, key=lambda each: each.member):
        fields = list(group)
        what = ", ".join(f"{each.field} {short(each.value)} instead of {short(each.expected)}" for each in fields)
        doing = "draining" if fields[0].is_draining else fields[0].state or "not reporting"
        active = fields[0].active
        tasks = f", {active} active task{'' if active == 1 else 's'}" if fields[0].role == WORKER else ""
        lines.append(f"{member}: {what} ({doing}{tasks})")
    return lines


def _in_words(code: object) -> str:
    return ", ".join(f"{name} {short(str(value)) or 'unknown'}" for name, value in vars(code).items())


def _gap(gap: Gap, now: float) -> str:
    return f"{gap.who}: {gap.why}" + ("" if gap.since is None else f", for {duration(now - gap.since)}")
