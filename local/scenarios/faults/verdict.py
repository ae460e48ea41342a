"""Judges one fault by what was counted during it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SUCCESS, FAILED = "success", "failed"
Figure = int | float


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of task instances of a fault's runs; a `lost` one was never created or never ended."""

    tasks: int
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    retried: int = 0

    @classmethod
    def of(cls, instances: Sequence[Mapping[str, Any]], *, tasks: int) -> Tally:
        """Count instances as Airflow's API describes them, out of `tasks` that were asked for."""
        states = [instance["state"] for instance in instances]
        succeeded, failed = states.count(SUCCESS), states.count(FAILED)
        return cls(
            tasks=tasks,
            succeeded=succeeded,
            failed=failed,
            lost=tasks - succeeded - failed,
            retried=sum(int(instance["try_number"]) > 1 for instance in instances),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            tasks=self.tasks + other.tasks,
            succeeded=self.succeeded + other.succeeded,
            failed=self.failed + other.failed,
            lost=self.lost + other.lost,
            retried=self.retried + other.retried,
        )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was counted during a fault.

    `retries_due`: tasks that must be retried (0 unless the fault itself kills). `started_twice`: tasks that ran twice
    in one try. `exposed`: samples of workers with a task and without protection. `outlived`: containers killed because
    they outlived their stop timeout. `unmet`: the other requirements that were not met, one line each. `figures` are
    only shown.
    """

    tally: Tally
    retries_due: int = 0
    started_twice: int = 0
    exposed: int = 0
    outlived: int = 0
    most_workers: int = 0
    seconds: float = 0.0
    unmet: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one fault."""

    name: str
    problems: tuple[str, ...]
    figures: Mapping[str, Figure]

    @property
    def holds(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def line(self) -> str:
        """Return name, problems and figures on one line."""
        figures = ", ".join(f"{name.replace('_', ' ')} {figure:g}" for name, figure in self.figures.items())
        return ": ".join(filter(None, (self.name, "; ".join(self.problems), figures)))

    def to_record(self) -> dict[str, Any]:
        """Return the fault's record in .local/faults.json."""
        return {"name": self.name, "holds": self.holds, "problems": list(self.problems), **self.figures}


def judge(name: str, evidence: Evidence) -> Verdict:
    """Check the promise: every task succeeded in its first try, except those that the fault killed."""
    tally = evidence.tally
    problems = [
        f"{count} {what}"
        for count, what in (
            (tally.failed, "tasks failed"),
            (tally.lost, "tasks were lost"),
            (evidence.started_twice, "tasks ran twice in one try"),
            (evidence.exposed, "times a worker had tasks and no protection"),
            (evidence.outlived, "containers outlived their stop timeout"),
        )
        if count
    ]
    if not tally.tasks:
        problems.append("no task ran")
    if tally.retried != evidence.retries_due:
        problems.append(f"{tally.retried} tasks were retried, {evidence.retries_due} expected")
    figures: dict[str, Figure] = {
        "tasks": tally.tasks,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "lost": tally.lost,
        "retried": tally.retried,
        "most_workers": evidence.most_workers,
        **evidence.figures,
        "seconds": round(evidence.seconds, 1),
    }
    return Verdict(name=name, problems=(*problems, *evidence.unmet), figures=figures)
