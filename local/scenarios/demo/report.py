"""The demonstration's report: the figures of one run, and the logs that hold secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.scenarios.demo.samples import Sample

# A task's token is a JWT, made at run time and stored nowhere.
JWT = re.compile(rb"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")
SHORTEST_SECRET = 12  # characters; shorter values, such as a user's name, are no secrets


@dataclass(frozen=True, kw_only=True)
class ScaleEvent:
    """One change of the desired count; `t` in seconds since the burst was triggered."""

    t: float
    desired: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The contents of .local/demo-report.json; times in seconds.

    `seconds_from_backlog_to_worker`: from the first sample with a backlog to the first with an extra worker, which has
    been started and does not run yet. Samples are taken each second. `refused`: calls that the AWS API refused.
    `actions_used`: the actions of IAM that it allowed, by role. `tasks_counted`: tasks that succeeded by Airflow's own
    metrics; None where none are sent.
    """

    tasks_total: int
    tasks_succeeded: int
    tasks_killed: int
    peak_workers: int
    final_workers: int
    seconds_to_first_scale_out: float | None
    seconds_total: float
    logs_in_bucket: int
    scale_events: tuple[ScaleEvent, ...]
    minimum_workers: int
    logs_readable: int
    seconds_from_backlog_to_worker: float | None = None
    files_with_secrets: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    actions_used: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tasks_counted: int | None = None

    def problems(self, *, at_least_peak: int) -> list[str]:
        """Return one line for each requirement that did not hold; none when the demonstration succeeded."""
        found = []
        if self.tasks_succeeded != self.tasks_total:
            found.append(f"{self.tasks_total - self.tasks_succeeded} of {self.tasks_total} tasks did not succeed")
        if self.tasks_killed:
            found.append(f"{self.tasks_killed} tasks were killed")
        if self.peak_workers < at_least_peak:
            found.append(f"the workers peaked at {self.peak_workers}, below the required {at_least_peak}")
        if self.final_workers != self.minimum_workers:
            found.append(f"{self.final_workers} workers were left, not {self.minimum_workers}")
        if self.logs_in_bucket < self.tasks_total:
            found.append(f"{self.tasks_total - self.logs_in_bucket} logs are missing in the bucket")
        if self.logs_readable < self.tasks_total:
            found.append(f"{self.tasks_total - self.logs_readable} logs cannot be read through Airflow's API")
        if self.files_with_secrets:
            found.append(f"secrets were logged in {', '.join(self.files_with_secrets)}")
        if self.refused:
            found.append(f"{len(self.refused)} kinds of calls were refused, the first: {self.refused[0]}")
        if self.tasks_counted is not None and self.tasks_counted < self.tasks_succeeded:
            counted = f"{self.tasks_counted} tasks that succeeded, not {self.tasks_succeeded}"
            found.append(f"Airflow's metrics counted {counted}")
        return found

    def summary(self) -> str:
        """Return the result on one line."""
        workers = f"workers {self.minimum_workers} → {self.peak_workers} → {self.final_workers}"
        return f"{self.tasks_succeeded} of {self.tasks_total} tasks succeeded, {self.tasks_killed} killed, {workers}"

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def scale_events(decisions: list[dict[str, Any]], *, triggered_at: float) -> tuple[ScaleEvent, ...]:
    """Return the decisions since `triggered_at` (seconds since the epoch) that changed the desired count."""
    return tuple(
        ScaleEvent(t=round(d["t"] - triggered_at, 1), desired=d["desired"], reason=d["reason"])
        for d in decisions
        if d["t"] >= triggered_at and d["desired"] is not None and d["desired"] != d["was"]
    )


def backlog_to_worker(samples: Sequence[Sample], *, minimum: int) -> float | None:
    """Return the seconds from the first backlog until there are more than `minimum` workers; None without either."""
    began = next((s.t for s in samples if s.backlog), None)
    if began is None:
        return None
    started = next((s.t for s in samples if s.t >= began and s.running + s.pending > minimum), None)
    return None if started is None else round(started - began, 1)


def killed(instances: list[dict[str, Any]]) -> int:
    """Count the task instances that did not succeed in their first try."""
    return sum(i["state"] != "success" or int(i["try_number"]) > 1 for i in instances)


def secrets(client: Any) -> set[str]:
    """Return every value in Secrets Manager that is long enough to be a secret."""
    values = set()
    for page in client.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            text = client.get_secret_value(SecretId=secret["ARN"])["SecretString"]
            fields = json.loads(text).values() if text.startswith("{") else [text]
            values |= {str(value) for value in fields if len(str(value)) >= SHORTEST_SECRET}
    return values


def files_with_secrets(paths: Iterable[Path], values: set[str]) -> list[Path]:
    """Return the files that hold one of the values, or a task's token."""
    needles = [value.encode() for value in values]
    found = []
    for path in paths:
        data = path.read_bytes()
        if JWT.search(data) or any(needle in data for needle in needles):
            found.append(path)
    return found
