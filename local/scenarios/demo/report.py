"""What the demonstration writes down: the figures of this very run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.scenarios.demo.samples import Sample


@dataclass(frozen=True, kw_only=True)
class ScaleEvent:
    """One change of the desired count; `t` in seconds since the burst was triggered."""

    t: float
    desired: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The contents of .local/demo-report.json; times in seconds.

    `seconds_from_backlog_to_worker`: from the sight of the first message that waits to that of the first extra worker,
    which has been started and does not run yet; both were looked for each second.
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

    def problems(self, *, at_least_peak: int) -> list[str]:
        """One line for each thing that did not hold; empty when the demonstration succeeded."""
        found = []
        if self.tasks_succeeded != self.tasks_total:
            found.append(f"{self.tasks_total - self.tasks_succeeded} of {self.tasks_total} tasks did not succeed")
        if self.tasks_killed:
            found.append(f"{self.tasks_killed} tasks were killed")
        if self.peak_workers < at_least_peak:
            found.append(f"the workers went to {self.peak_workers} only, not to {at_least_peak}")
        if self.final_workers != self.minimum_workers:
            found.append(f"{self.final_workers} workers were left, not {self.minimum_workers}")
        if self.logs_in_bucket < self.tasks_total:
            found.append(f"{self.tasks_total - self.logs_in_bucket} logs are missing in the bucket")
        if self.logs_readable < self.tasks_total:
            found.append(f"{self.tasks_total - self.logs_readable} logs cannot be read through Airflow's API")
        if self.files_with_secrets:
            found.append(f"secrets were logged in {', '.join(self.files_with_secrets)}")
        return found

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def scale_events(decisions: list[dict[str, Any]], *, triggered_at: float) -> tuple[ScaleEvent, ...]:
    """Return the decisions since `triggered_at` (seconds since the epoch) that changed the desired count."""
    return tuple(
        ScaleEvent(t=round(d["t"] - triggered_at, 1), desired=d["desired"], reason=d["reason"])
        for d in decisions
        if d["t"] >= triggered_at and d["desired"] is not None and d["desired"] != d["was"]
    )


def backlog_to_worker(samples: Sequence[Sample], *, minimum: int) -> float | None:
    """Return the seconds from the first backlog until there are more than `minimum` workers; None if either is not."""
    began = next((s.t for s in samples if s.backlog), None)
    if began is None:
        return None
    started = next((s.t for s in samples if s.t >= began and s.running + s.pending > minimum), None)
    return None if started is None else round(started - began, 1)


def killed(instances: list[dict[str, Any]]) -> int:
    """Count the task instances that did not run through in one try: failed ones and those that ran again."""
    return sum(i["state"] != "success" or int(i["try_number"]) > 1 for i in instances)
