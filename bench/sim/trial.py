"""One trial: a policy under a load, with one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bench.loads.load import Load
from bench.sim.boots import BURST, REFILL_PER_S, Boots, BootSequence, LaunchBucket
from bench.sim.clock import Clock
from bench.sim.ecs import Ecs
from bench.sim.forecaster import NO_ERROR, ForecastError
from bench.sim.metrics import Figures
from bench.sim.pool import Scaler, SimPool
from bench.sim.workers import SimWorker, Workers

# After the last task could have ended. A policy that kills long tasks again and again would never finish.
CUT_OFF_AFTER_S = 7 * 86_400.0


TICKS_SEED = "looks"  # another name would change the random numbers, and with them every figure
LOG_NORMAL = Boots()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The conditions that all policies share."""

    slots: int  # slots a worker
    minimum: int = 1  # the fewest workers
    maximum: int = 1000  # the most workers
    boots: Boots = LOG_NORMAL  # the distribution of boot times
    launch_burst: float = BURST  # how many launches ECS allows at once
    launch_per_s: float = REFILL_PER_S  # how many launches ECS allows a second
    lost_ticks: float = 0.0  # the probability that a policy's tick does not take place
    forecast_error: ForecastError = NO_ERROR  # what is wrong with the forecast, for policies that read it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a policy did.

    `unready`: boots that were stopped before the worker was ready. `late_launches`: those that waited for ECS's quota,
    `latest_launch_s` at most.
    """

    policy: str
    worker_hours: float
    boots: int
    unready: int
    late_launches: int
    latest_launch_s: float
    completed: int
    killed: int
    redone_hours: float
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class Course:
    """What happened: a task's start, end and the number of its worker, by task; the billed lives of all workers.

    Times are seconds since the load's start. `unfinished`: the tasks without an end. `until`: when the last one ended.
    """

    started: Sequence[float]
    ended: Sequence[float]
    ran_on: Sequence[int]
    unfinished: Sequence[int]
    lives: Sequence[tuple[float, float]]
    until: float


def run_course(scaler: Scaler, *, load: Load, setting: Setting, seed: int) -> Course:
    """Simulate as run_trial, and return what happened instead of figures."""
    pool, _ = _simulate(scaler, load=load, setting=setting, seed=seed)
    workers = pool.workers
    return Course(
        started=workers.started,
        ended=workers.ended,
        ran_on=workers.ran_on,
        unfinished=workers.waits.unfinished(),
        lives=pool.ecs.bill.lives,
        until=pool.clock.now,
    )


def run_trial(scaler: Scaler, *, load: Load, setting: Setting, seed: int) -> Outcome:
    """Simulate from an idle pool at its minimum to the end of the last task; bill remaining workers until then."""
    pool, bucket = _simulate(scaler, load=load, setting=setting, seed=seed)
    bill, waits = pool.ecs.bill, pool.workers.waits
    pool.workers.cut_off()
    return Outcome(
        policy=scaler.name,
        worker_hours=bill.hours,
        boots=bill.boots,
        unready=bill.unready,
        late_launches=bucket.late,
        latest_launch_s=bucket.latest_s,
        completed=waits.completed,
        killed=waits.killed,
        redone_hours=waits.redone_s / 3600,
        figures=waits.figures(),
    )


def _simulate(scaler: Scaler, *, load: Load, setting: Setting, seed: int) -> tuple[SimPool, LaunchBucket]:
    """Return the pool when the last task has ended and all remaining workers are billed, and its launches."""
    clock = Clock()
    workers = Workers(clock=clock, load=load, slots=setting.slots, seed=seed, when_done=clock.stop)
    bucket = LaunchBucket(burst=setting.launch_burst, per_s=setting.launch_per_s)
    ecs = Ecs(
        clock=clock,
        workers=workers,
        boots=BootSequence(setting.boots, seed=seed),
        bucket=bucket,
        seed=seed,
        grace_s=scaler.grace_s,
        when_ready=scaler.ready,
    )

    def idle(worker: SimWorker) -> None:
        ecs.ended_its_tasks(worker)
        scaler.idle(worker)

    workers.when_idle = idle
    pool = SimPool(
        clock=clock,
        workers=workers,
        ecs=ecs,
        slots=setting.slots,
        minimum=setting.minimum,
        maximum=setting.maximum,
        seed=seed,
    )
    scaler.begin(pool)
    ecs.set_desired(max(setting.minimum, ecs.desired))
    _tick_regularly(scaler, clock, lost=setting.lost_ticks, seed=seed)
    clock.at(load.arrivals[-1] + max(load.durations) + CUT_OFF_AFTER_S, lambda _: clock.stop())
    clock.run()
    ecs.close()
    return pool, bucket


def _tick_regularly(scaler: Scaler, clock: Clock, *, lost: float, seed: int) -> None:
    """Plan the policy's ticks from a random phase on.

    The phase is the same share of the period for every policy: with a load that follows the clock, one phase would have
    an advantage over another.
    """
    dice = Random(f"{TICKS_SEED} {seed}")

    def tick() -> float:
        if lost:
            if dice.random() >= lost:
                scaler.tick()
            return 0.0  # the next tick's dice must be cast
        return scaler.tick() or 0.0

    clock.regularly(scaler.period_s, tick, first_at=dice.random() * scaler.period_s)
