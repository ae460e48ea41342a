"""What the version check says of Airflow's work: metrics, and a message that names the runs, DAGs and files.

An alarm has no text of its own that changes. So when what an alarm counts is above its limit, a message with names and
links goes to the topic as well, at most one each QUIET_S.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import redis
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from fleet.registry import QUIET_KEY, TOLD_KEY
from fleet.work import (
    IMPORT_ERRORS,
    LATE_DAGS,
    MOST_NAMED,
    PARSE_AGE,
    PARSE_TIME,
    RUN_FAILURES,
    RUN_SUCCESSES,
    SCHEDULING_DELAY,
    SILENT_COMPONENTS,
    TASK_FAILURES,
    TRIGGERER_LOAD,
    WORK_REPORTS,
    WorkLimits,
    WorkReport,
)
from shared.aws import AWS_ERRORS
from shared.broker import why_not_done
from version_check.report import CLUSTER_DIMENSION, LONGEST_SUBJECT, Message

QUIET_S = 300
SOON_S = 1  # after a message that could not be sent
PAGES = "docs/runbook"


def publish_work(report: WorkReport, *, cluster: str) -> None:
    """Publish the report's metrics. Without a report none is published: a zero would read as a measurement."""
    metrics = EphemeralMetrics(service="")
    metrics.add_dimension(name=CLUSTER_DIMENSION, value=cluster)
    counts = {
        WORK_REPORTS: 1,
        TASK_FAILURES: report.task_failures,
        RUN_FAILURES: report.run_failures,
        RUN_SUCCESSES: report.run_successes,
        LATE_DAGS: report.late,
        IMPORT_ERRORS: report.import_errors,
        SILENT_COMPONENTS: len(report.silent),
    }
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    seconds = {SCHEDULING_DELAY: report.delay_s, PARSE_TIME: report.parse_s, PARSE_AGE: report.oldest_parse_s}
    for name, figure in seconds.items():
        metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=round(figure, 3))
    if report.triggerer_load is not None:
        metrics.add_metric(name=TRIGGERER_LOAD, unit=MetricUnit.Percent, value=round(report.triggerer_load, 1))
    metrics.flush_metrics()


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that people are told of once. `id` tells it from others; `link`: a path of Airflow's UI."""

    id: str
    section: str
    text: str
    link: str
    page: str


def items_of(report: WorkReport, limits: WorkLimits) -> list[Item]:
    """Return what is beyond the limits, in the order in which a message has it."""
    items: list[Item] = []
    if report.run_failures > limits.run_failures:
        for run in report.failed_runs:
            path = f"/dags/{quote(run.dag, safe='')}/runs/{quote(run.run, safe='')}"
            task = f", first task {run.task}" if run.task else ""
            items.append(
                Item(
                    id=f"run {run.dag} {run.run} {run.at:.0f}",
                    section="Failed runs",
                    text=f"{run.dag}, run {run.run}{task}",
                    link=path,
                    page="AlarmRunFailures",
                )
            )
    for dag in report.late_dags:
        intervals = "interval" if dag.missed == 1 else "intervals"
        items.append(
            Item(
                id=f"late {dag.dag}",
                section="Late DAGs",
                text=f"{dag.dag}: no success in its last {dag.missed} {intervals}",
                link=f"/dags/{quote(dag.dag, safe='')}",
                page="AlarmDagLate",
            )
        )
    for file in report.broken_files:
        where = f"{file.bundle}/{file.file}" if file.bundle else file.file
        items.append(
            Item(
                id=f"file {file.bundle} {file.file}",
                section="DAG files that do not import",
                text=f"{where}: {file.error or 'unknown error'}",
                link="/dags",
                page="AlarmImportErrors",
            )
        )
    return items


def message_on_work(
    items: Sequence[Item], *, report: WorkReport, new: Iterable[str], cluster: str, site_url: str
) -> Message:
    """Return the message with all items; the `new` ones, by id, are marked."""
    marked = set(new)
    counts = {"failed run": report.run_failures, "late DAG": report.late, "broken DAG file": report.import_errors}
    summary = ", ".join(f"{number} {what}{'' if number == 1 else 's'}" for what, number in counts.items() if number)
    sections: dict[str, list[str]] = {}
    for item in items:
        mark = "* " if item.id in marked else "  "
        sections.setdefault(item.section, []).append(f"{mark}{item.text}\n    {site_url}{item.link}")
    pages = sorted({f"{PAGES}/{item.page}.md" for item in items})
    minutes = round(report.window_s / 60)
    body = [
        *(f"{title}:\n" + "\n".join(lines) for title, lines in sections.items()),
        f"* is new. Failures are those of the last {minutes} minutes; of each list the first {MOST_NAMED} are named.",
        f"All failed runs: {site_url}/dag_runs?state=failed",
        "What to do: " + ", ".join(pages),
    ]
    return Message(subject=f"Airflow {cluster}: {summary}"[:LONGEST_SUBJECT], body="\n\n".join(body) + "\n")


class Teller:
    """Tells people of new items, each once while it lasts."""

    def __init__(self, client: redis.Redis, *, send: Callable[[Message], object]) -> None:
        """Remember in Redis what was told; `send` publishes a message, and raises AWS_ERRORS."""
        self._redis: Any = client
        self._send = send

    def tell(self, items: Sequence[Item], message: Callable[[set[str]], Message]) -> str | None:
        """Send one message if there is something new; `message` makes it. Return why that failed; None if it did not.

        Of checks that run at once, and within QUIET_S, only one may send: the one that sets the key. A message that AWS
        refused is sent again by the next check. Raises redis.RedisError.
        """
        present = {item.id for item in items}
        told = self._told()
        new = present - told
        if not new:
            if told - present:
                self._remember(present & told)
            return None
        if not self._redis.set(QUIET_KEY, "1", ex=QUIET_S, nx=True):
            return None
        try:
            self._send(message(new))
        except AWS_ERRORS as error:
            self._redis.set(QUIET_KEY, "1", ex=SOON_S)
            return why_not_done(error, refused="the message failed", unclear="the message is not confirmed")
        self._remember(present)
        return None

    def _told(self) -> set[str]:
        """Return the ids that were told; none if the record is malformed: it is overwritten."""
        try:
            found = json.loads(self._redis.get(TOLD_KEY) or b"[]")
        except ValueError:
            return set()
        return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()

    def _remember(self, told: set[str]) -> None:
        self._redis.set(TOLD_KEY, json.dumps(sorted(told), separators=(",", ":")))
