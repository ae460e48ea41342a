"""Policies under one load, each with several seeds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.bounds import clairvoyant_hours, work_hours
from bench.load import Load
from bench.policies import make
from bench.trial import Outcome, Setting, run_trial


@dataclass(frozen=True, kw_only=True)
class Result:
    """A policy's outcomes, one a seed, with the load's bounds in worker-hours (see `bounds`)."""

    policy: str
    outcomes: tuple[Outcome, ...]
    work_hours: float
    clairvoyant_hours: float

    def mean(self, figure: Callable[[Outcome], float]) -> float:
        return sum(map(figure, self.outcomes)) / len(self.outcomes)

    @property
    def worker_hours(self) -> float:
        return self.mean(lambda outcome: outcome.worker_hours)

    @property
    def wait_p95(self) -> float:
        return self.mean(lambda outcome: outcome.figures.wait_p95)

    def to_record(self) -> dict[str, Any]:
        """Means over the seeds: seconds, worker-hours, counts."""
        waits = ("wait_mean", "wait_p50", "wait_p95", "wait_p99", "long_waits", "too_long", "delay_p95")
        return {
            "policy": self.policy,
            "worker_hours": self.worker_hours,
            **{name: self.mean(lambda o, name=name: getattr(o.figures, name)) for name in waits},  # type: ignore[misc]
            "completed": self.mean(lambda outcome: outcome.completed),
            "killed": self.mean(lambda outcome: outcome.killed),
            "redone_hours": self.mean(lambda outcome: outcome.redone_hours),
            "boots": self.mean(lambda outcome: outcome.boots),
            "lower_bound_worker_hours": self.clairvoyant_hours,
            "work_hours": self.work_hours,
        }


@dataclass(frozen=True, kw_only=True)
class Job:
    policy: str
    load: Load
    setting: Setting
    seed: int


def run(job: Job) -> Outcome:
    return run_trial(make(job.policy, job.load, job.setting), load=job.load, setting=job.setting, seed=job.seed)


def run_all(jobs: Sequence[Job], *, processes: int) -> list[Outcome]:
    """In the jobs' order, whatever the number of processes."""
    if processes == 1:
        return [run(job) for job in jobs]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return pool.map(run, jobs, chunksize=1)


def compare(
    policies: Sequence[str], *, load: Load, setting: Setting, seeds: Sequence[int], processes: int = 1
) -> list[Result]:
    """A result a policy, in their order."""
    jobs = [Job(policy=policy, load=load, setting=setting, seed=seed) for policy in policies for seed in seeds]
    outcomes = iter(run_all(jobs, processes=processes))
    work = work_hours(load, slots=setting.slots)
    clairvoyant = clairvoyant_hours(load, slots=setting.slots, boot_s=setting.boots.median_s)
    return [
        Result(
            policy=policy,
            outcomes=tuple(next(outcomes) for _ in seeds),
            work_hours=work,
            clairvoyant_hours=clairvoyant,
        )
        for policy in policies
    ]
