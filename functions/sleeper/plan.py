"""Decide the next steps towards an environment that sleeps or is awake.

Pure. A plan depends on the current state and not on earlier steps. So a step may be repeated, a failed step is taken
again, and changes while an environment sleeps are undone (RDS starts a database by itself after seven days, an update
of the stack turns alarms on).

No running task is killed. Pools close only at a moment when nothing is queued and nothing runs, and the autoscaler
drains their workers. A task that arrives meanwhile opens the pools again. The scheduler stops only when all pools are
empty. A task that it queues in its last second waits in Airflow's database and not in the broker, where its token could
expire: the scheduler queues it again after waking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from shared.tags import ASLEEP, AWAKE, DesiredState
from sleeper.world import Service, Work, World

# RDS's states. A database in a SERVING state can be used; only an available one can be stopped.
AVAILABLE, STOPPED = "available", "stopped"
SERVING = (AVAILABLE, "backing-up", "storage-optimization")
# Alarms evaluate up to five minutes, and a webserver needs a few to start. An alarm that is on for longer is right.
ALARMS_SETTLE_S = 900
FALLING, WAKING = "falling asleep", "waking"


class Verb(Enum):
    """What a step does. MARK_ASLEEP stores a service's size in its tag; RESTORE_TASKS sets that size again."""

    MARK_ASLEEP = "mark asleep"
    STOP_TASKS = "stop tasks"
    RESTORE_TASKS = "restore tasks"
    SUSPEND_SCALING = "suspend scaling"
    RESUME_SCALING = "resume scaling"
    SILENCE_ALARMS = "silence alarms"
    ARM_ALARMS = "arm alarms"
    REARM_ALARMS = "rearm alarms"
    DROP_MESSAGES = "drop messages"
    STOP_DATABASE = "stop database"
    START_DATABASE = "start database"
    CLEAR_DESIRED_STATE = "clear desired state"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: its verb, the `service` and new `size` for verbs about a service, the alarms' `names` for alarms."""

    verb: Verb
    service: Service | None = None
    size: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`is_settled`: nothing is left to wait for. `gave_up`: the environment could not sleep in time; it stays awake."""

    phase: str
    says: str
    steps: tuple[Step, ...] = ()
    is_settled: bool = False
    gave_up: bool = False


def plan(world: World, *, patience_s: int) -> Plan:
    """Return the next steps. `patience_s`: how long the environment may be too busy to sleep."""
    if world.desired_state is None:
        return _keep(world)
    if world.desired_state.state == AWAKE:
        return _wake(world, world.desired_state)
    if world.airflow.is_marked_asleep:
        return _stop(world)
    obstacle = _obstacle(world)
    if obstacle and world.now - world.desired_state.since > patience_s:
        steps = (*_restore_tasks(world.pools), Step(verb=Verb.CLEAR_DESIRED_STATE))
        return Plan(
            phase=AWAKE, says=f"stays awake, too busy to sleep: {obstacle}", steps=steps, is_settled=True, gave_up=True
        )
    return _fall_asleep(world, obstacle)


def _keep(world: World) -> Plan:
    marked = [service.name for service in world.services if service.is_marked_asleep]
    says = (
        f"no desired state is set, but asleep: {', '.join(marked)}: run make sleep or make wake" if marked else "awake"
    )
    return Plan(phase=AWAKE, says=says, is_settled=True)


def _obstacle(world: World) -> str:
    """Return what keeps the environment from sleeping, or "". Closed pools may still finish running tasks."""
    if rolling := [service.name for service in world.services if service.is_rolling_out]:
        return f"a deployment of {', '.join(rolling)} is under way"
    if paused := [pool.name for pool in world.pools if pool.paused and not pool.is_empty]:
        return f"the autoscaler is paused for {', '.join(paused)}"
    if isinstance(world.work, str):
        return f"queues and running tasks could not be read: {world.work}"
    if world.work.queued or not (world.work.is_none or _are_closed(world)):
        return str(world.work)
    return _why_workers_are_left(world) if _are_closed(world) else ""


def _why_workers_are_left(world: World) -> str:
    left = [f"{pool.name} ({max(pool.running, pool.desired)})" for pool in world.pools if not pool.is_empty]
    busy = f"; {world.work}" if isinstance(world.work, Work) and world.work.busy else ""
    return f"workers drain: {', '.join(left)}{busy}" if left else ""


def _are_closed(world: World) -> bool:
    return all(pool.is_marked_asleep for pool in world.pools)


def _fall_asleep(world: World, obstacle: str) -> Plan:
    """Close the pools first, then stop airflow, which queues tasks for them."""
    if isinstance(world.work, Work) and world.work.queued:
        return Plan(phase=FALLING, says=f"waits until nothing is queued: {obstacle}", steps=_restore_tasks(world.pools))
    if obstacle:
        return Plan(phase=FALLING, says=f"waits: {obstacle}")
    if not _are_closed(world):
        return Plan(phase=FALLING, says="nothing is queued or runs: the workers drain", steps=_mark_asleep(world.pools))
    steps = (
        *_silence(world),
        *_mark_asleep(world.without_pools),
        *(Step(verb=Verb.STOP_TASKS, service=service) for service in world.without_pools),
    )
    return Plan(phase=FALLING, says="all workers have stopped: the other services stop", steps=steps)


def _stop(world: World) -> Plan:
    """Stop everything. From here on, only waking leads back: the scheduler was told to stop."""
    steps = (
        *_silence(world),
        *_mark_asleep(world.services),
        *(Step(verb=Verb.STOP_TASKS, service=s) for s in world.without_pools if s.desired),
    )
    left = [service.name for service in world.services if not service.is_empty]
    if left:
        return Plan(phase=FALLING, says=f"waits for tasks to stop: {', '.join(left)}", steps=steps)
    if isinstance(world.work, str):
        return Plan(phase=FALLING, says=f"waits: the queues could not be read: {world.work}", steps=steps)
    if world.work.queued:
        steps = (*steps, Step(verb=Verb.DROP_MESSAGES))
    if world.database == AVAILABLE:
        steps = (*steps, Step(verb=Verb.STOP_DATABASE))
    if world.database != STOPPED:
        return Plan(phase=FALLING, says=f"waits for the database to stop: it is {world.database}", steps=steps)
    return Plan(phase=ASLEEP, says="asleep", steps=steps, is_settled=True)


def _wake(world: World, desired_state: DesiredState) -> Plan:
    """Start the parts in the order of what they need: the database, airflow, the workers, Flower."""
    if world.database == STOPPED:
        return Plan(phase=WAKING, says="the database starts", steps=(Step(verb=Verb.START_DATABASE),))
    if world.database not in SERVING:
        return Plan(phase=WAKING, says=f"waits for the database to start: it is {world.database}")
    for services in filter(None, ((world.airflow,), world.pools, world.monitors)):
        names = ", ".join(service.name for service in services)
        if any(service.is_marked_asleep for service in services):
            resume = () if world.is_scaling else (Step(verb=Verb.RESUME_SCALING),)
            return Plan(phase=WAKING, says=f"starts {names}", steps=(*_restore_tasks(services), *resume))
        if not all(service.is_up for service in services):
            return Plan(phase=WAKING, says=f"waits for tasks to start: {names}")
    return _finish_waking(world, desired_state)


def _finish_waking(world: World, desired_state: DesiredState) -> Plan:
    """Turn the alarms on again.

    An alarm that is on because of the sleep must not notify. One that stays on for ALARMS_SETTLE_S is right and must.
    """
    ringing = world.alarms.ringing
    calm = tuple(name for name in world.alarms.silent if name not in ringing)
    steps = [Step(verb=Verb.ARM_ALARMS, names=calm)] if calm else []
    if not world.is_scaling:
        steps.append(Step(verb=Verb.RESUME_SCALING))
    if ringing and world.now - desired_state.since <= ALARMS_SETTLE_S:
        says = f"awake; alarms still on from the sleep, not yet armed: {', '.join(ringing)}"
        return Plan(phase=AWAKE, says=says, steps=tuple(steps), is_settled=True)
    if ringing:
        steps.append(Step(verb=Verb.REARM_ALARMS, names=ringing))
    return Plan(phase=AWAKE, says="awake", steps=(*steps, Step(verb=Verb.CLEAR_DESIRED_STATE)), is_settled=True)


def _mark_asleep(services: Iterable[Service]) -> tuple[Step, ...]:
    """Mark the services that are not marked: a size already recorded is the one to wake with."""
    return tuple(
        Step(verb=Verb.MARK_ASLEEP, service=service, size=service.desired)
        for service in services
        if not service.is_marked_asleep
    )


def _restore_tasks(services: Sequence[Service]) -> tuple[Step, ...]:
    return tuple(
        Step(verb=Verb.RESTORE_TASKS, service=service, size=service.size_asleep)
        for service in services
        if service.size_asleep is not None
    )


def _silence(world: World) -> tuple[Step, ...]:
    scaling = (Step(verb=Verb.SUSPEND_SCALING),) if world.is_scaling else ()
    alarms = (Step(verb=Verb.SILENCE_ALARMS, names=world.alarms.loud),) if world.alarms.loud else ()
    return (*alarms, *scaling)
