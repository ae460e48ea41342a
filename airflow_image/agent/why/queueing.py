"""Says what a queued task waits for: a slot of a worker that runs, that boots, or that may not be launched."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from agent.page.words import count
from agent.why.facts import Decision, Fleet, Known, Place
from agent.why.story import Cause, Line, Parts, lasting, listed, named
from fleet.member import CONSUMING, DRAINING, STARTING, Member
from fleet.pools import Pool
from fleet.registry import ASLEEP_REASON

# The autoscaler ticks several times a minute.
SILENT_AFTER_S = 180.0
DECISIONS_TOLD = 3
LATE_BOOTS = 3.0  # a boot that takes as many times as long as usual is late
USUAL_BOOT_S = 90.0  # until a boot was seen: as autoscaler.boots has it


def what_holds(known: Known) -> Cause:
    """Return what keeps a queued task from running."""
    fleet, queue = known.fleet, known.instance.queue
    if fleet.trouble:
        return Cause(
            name="fleet_unknown",
            parts=(f"it is queued for {named(queue)}; what the workers do is not known now: {fleet.trouble}",),
        )
    if fleet.pool is None:
        return Cause(
            name="queue_unserved",
            parts=(f"no pool of workers takes the queue {named(queue)}. It will never run so.",),
            advice=(f"Use one of the queues {listed(fleet.served)} in the task, or declare a pool with this one.",),
        )
    cause = _of_workers(known, fleet, fleet.pool)
    return Cause(
        name=cause.name,
        parts=cause.parts,
        lines=(
            *_place(known.place, fleet, queue),
            *cause.lines,
            *_forecast(fleet, now=known.now),
            *decided(fleet, since=known.instance.attempt.queued_at),
        ),
        advice=cause.advice,
    )


def decided(fleet: Fleet, *, since: float | None) -> tuple[Line, ...]:
    """Return the autoscaler's last decisions since a time, each reason once, oldest first."""
    found: dict[str, Decision] = {}
    for decision in fleet.decisions:
        if since is None or decision.t >= since:
            found[_without_figures(decision.reason)] = decision
    latest = sorted(found.values(), key=lambda each: each.t)[-DECISIONS_TOLD:]
    return tuple(Line(t=each.t, parts=(f"The autoscaler: {each.reason}.",)) for each in latest)


def _without_figures(reason: str) -> str:
    return reason.rpartition(";")[0] or reason


def _place(place: Place | None, fleet: Fleet, queue: str) -> tuple[Line, ...]:
    lines = []
    if place is not None:
        others = count(place.ahead, "task") if place.ahead else "No other task"
        is_are = "is" if place.ahead < 2 else "are"
        text = f"{others} {is_are} before it in the queue {named(queue)}, of {place.queued:,} that wait."
        lines.append(Line(t=None, parts=(text,)))
    if fleet.waiting:
        text = f"{count(fleet.waiting, 'task')} of this pool of workers wait in the scheduler for a slot, by priority."
        lines.append(Line(t=None, parts=(text,)))
    return tuple(lines)


def _forecast(fleet: Fleet, *, now: float) -> tuple[Line, ...]:
    """Say when the schedule wants more slots of this pool: workers are launched for it beforehand."""
    later = [(t, slots) for t, slots in fleet.expected if t > now]
    if not later:
        return ()
    t, slots = later[0]
    return (Line(t=None, parts=(f"The forecast expects runs that need {count(slots, 'more slot')} at ", t, ".")),)


def _of_workers(known: Known, fleet: Fleet, pool: Pool) -> Cause:
    takers = [worker for worker in fleet.workers if worker.is_consuming]
    free = sum(max(0, worker.slots - worker.active) for worker in takers)
    latest = fleet.decisions[0] if fleet.decisions else None
    ahead = known.place.ahead if known.place else 0
    if latest is not None and latest.reason.startswith(ASLEEP_REASON):
        return Cause(
            name="asleep",
            parts=(f"the workers of the pool {named(pool.name)} sleep.",),
            advice=("They start when the environment wakes: `make wake`, or at the time of its schedule.",),
        )
    if free > ahead:
        is_are = "is" if free == 1 else "are"
        return Cause(
            name="about_to_start",
            parts=(f"{count(free, 'slot')} of {count(len(takers), 'worker')} {is_are} free: a worker takes it now.",),
        )
    if fleet.booting or any(worker.state == STARTING for worker in fleet.workers):
        return _booting(known, fleet, takers)
    if (cause := _that_take_nothing(fleet, pool, takers)) is not None:
        return cause
    if latest is None or known.now - latest.t > SILENT_AFTER_S:
        return Cause(
            name="autoscaler_silent",
            parts=(
                f"{_slots_taken(takers)}, and the autoscaler has decided nothing about the pool {named(pool.name)}",
                *((" since ", latest.t) if latest else ()),
                ".",
            ),
            advice=("Look at the function Autoscaler and its alarm: it launches workers.",),
        )
    if latest.desired is not None and latest.desired >= pool.maximum:
        return Cause(
            name="pool_at_maximum",
            parts=(
                f"{_slots_taken(takers)}, and the pool {named(pool.name)} has its maximum of "
                f"{count(pool.maximum, 'worker')}.",
            ),
            advice=("Wait for a slot, raise the pool's maximum of workers, or use a pool of your own.",),
        )
    return Cause(
        name="slots_taken",
        parts=(f"{_slots_taken(takers)}; the autoscaler decides in its next tick about more workers.",),
    )


def _slots_taken(takers: Sequence[Member]) -> str:
    slots = sum(worker.slots for worker in takers)
    if not takers:
        return "no worker takes tasks of this pool"
    return (
        f"all {slots:,} slots of {count(len(takers), 'worker')} are taken" if slots != 1 else "the only slot is taken"
    )


def _booting(known: Known, fleet: Fleet, takers: Sequence[Member]) -> Cause:
    starting = [worker.started_at for worker in fleet.workers if worker.state == STARTING]
    number = max(1, fleet.booting, len(starting))
    since = min((t for t in (fleet.booting_since, *starting) if t is not None), default=None)
    who = "a worker has" if number == 1 else f"{number:,} workers have"
    begun: Parts = () if since is None else (f" for {lasting(known.now - since)}, since ", since)
    usual = "" if fleet.boot_takes_s is None else f", and a boot usually takes {lasting(fleet.boot_takes_s)}"
    is_deployed = _is_deployment(fleet)
    late = since is not None and known.now - since > LATE_BOOTS * (fleet.boot_takes_s or USUAL_BOOT_S)
    return Cause(
        name="deployment" if is_deployed and not takers else "booting",
        parts=(f"{_slots_taken(takers)}; {who} been starting", *begun, f"{usual}."),
        lines=_deployment_lines(fleet) if is_deployed else (),
        advice=(
            "It takes longer than usual: look at the ECS service's events. The image may be wrong, or AWS may have no "
            "capacity.",
        )
        if late
        else (),
    )


def _is_deployment(fleet: Fleet) -> bool:
    codes = {worker.code for worker in fleet.workers if all((worker.code.image_version, worker.code.dags_hash))}
    return len(codes) > 1


def _deployment_lines(fleet: Fleet) -> tuple[Line, ...]:
    draining = sum(worker.state == DRAINING for worker in fleet.workers)
    text = "A deployment is under way: workers of the old code and of the new are there"
    return (Line(t=None, parts=(f"{text}; {count(draining, 'worker')} finish their tasks and take no new ones.",)),)


def _that_take_nothing(fleet: Fleet, pool: Pool, takers: Sequence[Member]) -> Cause | None:
    """Return why workers that are there take nothing, if there are such."""
    troubled = [worker for worker in fleet.workers if worker.state == CONSUMING and worker.trouble]
    draining = [worker for worker in fleet.workers if worker.state == DRAINING]
    declared = sum(max(worker.slots, worker.declared_slots) for worker in takers)
    slots = sum(worker.slots for worker in takers)
    if not takers and troubled:
        return Cause(
            name="worker_trouble",
            parts=(f"no worker of its pool takes messages: {troubled[0].trouble}.",),
            advice=("The worker's log says more. ECS replaces a worker whose health check fails.",),
        )
    if slots < declared:
        return Cause(
            name="memory_full",
            parts=(
                f"memory is short: {count(len(takers), 'worker')} {_verb('use', takers)} {slots:,} of "
                f"{count(declared, 'slot')} so that the tasks that run fit, and all of these are taken.",
            ),
            advice=("Give the pool larger workers, or send the large tasks to a pool of their own (docs/pools.md).",),
        )
    if not takers and draining:
        return Cause(
            name="draining",
            parts=(
                f"no worker of the pool {named(pool.name)} takes new tasks: {count(len(draining), 'worker')} "
                f"{_verb('finish', draining)} "
                "what they have. Others have not begun to boot.",
            ),
            lines=_deployment_lines(fleet) if _is_deployment(fleet) else (),
        )
    return None


def _verb(verb: str, subjects: Sequence[Member]) -> str:
    ending = "es" if verb.endswith("sh") else "s"
    return f"{verb}{ending}" if len(subjects) == 1 else verb


def median_of(seconds: Sequence[float]) -> float | None:
    """Return the median of the last boots' seconds; None without one."""
    return statistics.median(seconds) if seconds else None
