"""Runs policies under one load, each with several seeds."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.loads.bounds import clairvoyant_hours, first_fit_hours, work_hours
from bench.loads.load import Load
from bench.policies.catalog import Maker
from bench.sim.boots import IMAGE_GB, NAT_USD_A_GB
from bench.sim.trial import Outcome, Setting, run_trial


@dataclass(frozen=True, kw_only=True)
class Result:
    """A policy's outcomes under a load."""

    policy: str
    tasks: int  # the number of the load's tasks
    outcomes: tuple[Outcome, ...]  # one outcome for each seed
    work_hours: float  # the load's bound LB0 in worker-hours, see `bounds`
    clairvoyant_hours: float  # its bound LB1
    first_fit_hours: float  # its reference cost
    cpu_s: tuple[float, ...] = field(compare=False)  # the processor time of each trial, which is not part of the result

    def mean(self, figure: Callable[[Outcome], float]) -> float:
        return sum(map(figure, self.outcomes)) / len(self.outcomes)

    @property
    def worker_hours(self) -> float:
        return self.mean(lambda outcome: outcome.worker_hours)

    @property
    def wait_p95(self) -> float:
        return self.mean(lambda outcome: outcome.figures.wait_p95)

    @property
    def killed(self) -> float:
        return self.mean(lambda outcome: outcome.killed)

    @property
    def completed(self) -> float:
        return self.mean(lambda outcome: outcome.completed)

    @property
    def pulled_gb(self) -> float:
        """GB of images that its boots pulled: each boot pulls the whole image, also one that is cancelled."""
        return IMAGE_GB * self.mean(lambda outcome: outcome.boots)

    def to_record(self) -> dict[str, Any]:
        """Return means over the seeds: seconds, worker-hours and counts."""
        waits = ("wait_mean", "wait_p50", "wait_p95", "wait_p99", "long_waits", "too_long", "delay_p95")
        return {
            "policy": self.policy,
            "worker_hours": self.worker_hours,
            **{name: self.mean(lambda o, name=name: getattr(o.figures, name)) for name in waits},  # type: ignore[misc]
            "completed": self.completed,
            "killed": self.killed,
            "redone_hours": self.mean(lambda outcome: outcome.redone_hours),
            "boots": self.mean(lambda outcome: outcome.boots),
            "unready_boots": self.mean(lambda outcome: outcome.unready),
            "late_launches": self.mean(lambda outcome: outcome.late_launches),
            "latest_launch_s": self.mean(lambda outcome: outcome.latest_launch_s),
            "pulled_gb": self.pulled_gb,
            "pulled_by_nat_usd": NAT_USD_A_GB * self.pulled_gb,
            "lower_bound_worker_hours": self.clairvoyant_hours,
            "work_hours": self.work_hours,
            "first_fit_worker_hours": self.first_fit_hours,
        }


@dataclass(frozen=True, kw_only=True)
class Job:
    make: Maker
    load: Load
    setting: Setting
    seed: int


@dataclass(frozen=True, kw_only=True)
class Ran:
    outcome: Outcome
    cpu_s: float


def run(job: Job) -> Ran:
    # A trial makes hardly any reference cycles, but so many objects that collecting takes a twentieth of its time.
    gc.disable()
    try:
        began = time.process_time()
        outcome = run_trial(job.make(job.load, job.setting), load=job.load, setting=job.setting, seed=job.seed)
        return Ran(outcome=outcome, cpu_s=time.process_time() - began)
    finally:
        gc.enable()


def run_all(jobs: Sequence[Job], *, processes: int) -> list[Ran]:
    """Run all jobs; return their outcomes in the jobs' order."""
    if processes == 1:
        return [run(job) for job in jobs]
    with multiprocessing.get_context("fork").Pool(processes, initializer=_inherit, initargs=(jobs,)) as pool:
        return pool.map(_run_inherited, range(len(jobs)), chunksize=1)


_inherited: list[Job] = []  # in a forked process: a load is too large to be sent with each job


def _inherit(jobs: Sequence[Job]) -> None:
    _inherited[:] = jobs


def _run_inherited(number: int) -> Ran:
    return run(_inherited[number])


def compare(
    policies: Mapping[str, Maker], *, load: Load, setting: Setting, seeds: Sequence[int], processes: int = 1
) -> list[Result]:
    """Run every policy with every seed; return a result for each policy, in their order."""
    jobs = [Job(make=make, load=load, setting=setting, seed=seed) for make in policies.values() for seed in seeds]
    every = run_all(jobs, processes=processes)
    work = work_hours(load, slots=setting.slots)
    clairvoyant = clairvoyant_hours(load, slots=setting.slots, boot_s=setting.boots.median_s)
    first_fit = first_fit_hours(load, slots=setting.slots, boot_s=setting.boots.median_s)
    results = []
    for number, policy in enumerate(policies):
        ran = every[number * len(seeds) : (number + 1) * len(seeds)]
        results.append(
            Result(
                policy=policy,
                tasks=len(load),
                outcomes=tuple(each.outcome for each in ran),
                work_hours=work,
                clairvoyant_hours=clairvoyant,
                first_fit_hours=first_fit,
                cpu_s=tuple(each.cpu_s for each in ran),
            )
        )
    return results
