"""One tick over all pools: read, decide, act."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from autoscaler.backing import BackedRoster, claimed_tasks, crowded_tasks, hold_against_ecs
from autoscaler.decide import decide
from autoscaler.forecast import is_out_of_date
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable
from autoscaler.redis_reader import (
    FLEET,
    QUEUES,
    BrokerState,
    QueueReading,
    read_broker_state,
    read_fleets,
    read_queues,
)
from autoscaler.report import Outcome
from autoscaler.revision import Target, advance
from autoscaler.services import read_services, set_desired, set_revision
from autoscaler.settings import Settings
from fleet.forecast import Forecast
from fleet.pools import Pool
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN, Registry, Roster
from shared.aws import AWS_ERRORS, in_words
from shared.broker import BROKER_ERRORS, Broker, why_not_done
from shared.known_tasks import KnownTasks

MEMORY = "memory"
FORECAST = "forecast"


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What the broker replied, by pool. `registry` is None when it did not reply: writing would be useless.

    `tasks`: why ECS did not tell about the tasks of some workers; None when it did.
    """

    queues: QueueReading
    fleets: Mapping[str, Fleet | Unreadable]
    registry: Registry | None
    now: float
    state: BrokerState
    tasks: Unreadable | None = None


@dataclass(frozen=True, kw_only=True)
class TickResult:
    """The outcomes of one tick. `took_ms`: from its start until the last decision was carried out."""

    outcomes: tuple[Outcome, ...]
    state: BrokerState
    took_ms: float

    @property
    def queued(self) -> Mapping[str, Mapping[str, int] | Unreadable]:
        """The messages that waited, by pool and queue."""
        return {outcome.pool: outcome.observation.queued for outcome in self.outcomes}


def tick(
    *,
    settings: Settings,
    broker: Broker,
    ecs: Any,
    tasks: KnownTasks | None = None,
    invoked_at: float | None = None,
) -> TickResult:
    """Decide once about all pools. A pool that cannot be read or changed keeps its size, and its outcome says so.

    `tasks`: what earlier ticks learned about ECS tasks. `invoked_at`: when the invocation began, in seconds since the
    epoch; now by default.
    """
    began = time.monotonic()
    invoked_at = time.time() if invoked_at is None else invoked_at
    tasks = tasks or KnownTasks(ecs, cluster=settings.cluster)
    services = read_services(ecs, cluster=settings.cluster, pools=settings.pools)
    reading = _read_broker(broker, pools=settings.pools, services=services, tasks=tasks)
    outcomes = tuple(
        _scale(pool, settings=settings, service=services[pool.name], reading=reading, ecs=ecs, invoked_at=invoked_at)
        for pool in settings.pools
    )
    return TickResult(outcomes=outcomes, state=reading.state, took_ms=1000 * (time.monotonic() - began))


def _read_broker(
    broker: Broker, *, pools: tuple[Pool, ...], services: Mapping[str, Service | Unreadable], tasks: KnownTasks
) -> _Reading:
    now = time.time()  # stands in for Redis's time in the record of a tick without Redis
    try:
        client = broker.connect()
        queues = read_queues(client, pools)
    except BROKER_ERRORS as error:
        silent = {source: Unreadable(source=source, why=in_words(error)) for source in (QUEUES, FLEET)}
        return _Reading(
            queues=QueueReading(queued={pool.name: silent[QUEUES] for pool in pools}, heads={}),
            fleets={pool.name: silent[FLEET] for pool in pools},
            registry=None,
            now=now,
            state=BrokerState(problem=in_words(error)),
        )
    registry = Registry(client)
    known = ((name, service) for name, service in services.items() if isinstance(service, Service))
    rolling_out = {name for name, service in known if service.is_rolling_out}
    try:
        roster = registry.members()
        backed = _hold_against_ecs(roster, pools=pools, services=services, tasks=tasks)
        fleets = read_fleets(client, backed, pools=pools, rolling_out=rolling_out, now=roster.read_at)
    except BROKER_ERRORS as error:
        unreadable = Unreadable(source=FLEET, why=in_words(error))
        return _Reading(
            queues=queues,
            fleets={pool.name: unreadable for pool in pools},
            registry=registry,
            now=now,
            state=BrokerState(problem=in_words(error)),
        )
    try:
        state = read_broker_state(client, backed, pools)
    except redis.RedisError as error:  # no decision needs these figures
        state = BrokerState(problem=in_words(error))
    if roster.is_to_sweep:
        try:
            registry.sweep(now=roster.read_at)
        except redis.RedisError as error:
            state = replace(state, problem=f"the registry is not swept: {in_words(error)}")
    return _Reading(
        queues=queues, fleets=fleets, registry=registry, now=roster.read_at, state=state, tasks=backed.problem
    )


def _hold_against_ecs(
    roster: Roster, *, pools: tuple[Pool, ...], services: Mapping[str, Service | Unreadable], tasks: KnownTasks
) -> BackedRoster:
    """Ask ECS about tasks that it was not asked about, and anew about those of a pool with more members than tasks."""
    claimed = claimed_tasks(roster)
    answers = tasks.read(claimed)
    backed = hold_against_ecs(roster, answers, pools=pools, services=services)
    if answers.problem or not (crowded := crowded_tasks(backed, services)):
        return backed
    return hold_against_ecs(roster, tasks.read(claimed, anew=crowded), pools=pools, services=services)


def _scale(
    pool: Pool,
    *,
    settings: Settings,
    service: Service | Unreadable,
    reading: _Reading,
    ecs: Any,
    invoked_at: float,
) -> Outcome:
    observation = Observation(
        now=reading.now,
        queued=reading.queues.queued[pool.name],
        heads=reading.queues.heads.get(pool.name, {}),
        fleet=reading.fleets[pool.name],
        service=service,
        tasks=reading.tasks,
    )
    problems: list[str] = []
    memory = Memory()
    if reading.registry is not None:
        forecast, problem = _read_forecast(reading.registry, pool=pool, now=reading.now)
        observation = replace(observation, forecast=forecast)
        problems += [problem] if problem else []
        try:
            memory = Memory.from_record(reading.registry.read_memory(pool.name))
        except (redis.ResponseError, ValueError, RecursionError) as error:
            # Starting anew is safe (decide never goes below what may hold protection) and repairs the key.
            problems.append(f"{MEMORY} lost: {in_words(error)}")
        except redis.RedisError as error:
            observation = replace(observation, fleet=Unreadable(source=MEMORY, why=in_words(error)))
    decision = decide(observation, settings.policy(pool), memory)
    outcome = Outcome(pool=pool.name, observation=observation, decision=decision, problems=tuple(problems))
    if reading.registry is None:
        return outcome
    outcome = _follow_rollout(outcome, pool, settings=settings, invoked_at=invoked_at)
    return _act(outcome, pool=pool, settings=settings, registry=reading.registry, ecs=ecs)


def _follow_rollout(outcome: Outcome, pool: Pool, *, settings: Settings, invoked_at: float) -> Outcome:
    """Take the rollout of the stack's revision further, unless a part is unreadable or the service is paused."""
    decision, fleet, service = outcome.decision, outcome.observation.fleet, outcome.observation.service
    # Without `needed`, nothing was decided about the pool: it is paused, say.
    if decision.needed is None or not (isinstance(fleet, Fleet) and isinstance(service, Service)):
        return outcome
    if not pool.task_definition:
        return outcome
    step = advance(
        decision.memory.rollout,
        Target(revision=pool.task_definition, patience_s=settings.rollout_patience_s, invoked_at=invoked_at),
        service=service,
        fleet=fleet,
        needed=decision.needed,
        now=outcome.observation.now,
    )
    if step is None:
        return outcome
    decision = replace(decision, memory=replace(decision.memory, rollout=step.rollout))
    return replace(outcome, decision=decision, step=step)


def _read_forecast(registry: Registry, *, pool: Pool, now: float) -> tuple[Forecast | None, str]:
    """Return the forecast, or None and in words why it cannot be used. The decision then follows the demand alone."""
    try:
        forecast = registry.forecast(pool.name)
    except (redis.RedisError, ValueError) as error:
        return None, f"no {FORECAST}: {in_words(error)}"
    if forecast is not None and is_out_of_date(forecast, now=now):
        return None, f"no {FORECAST}: it ended long ago"
    return forecast, ""


def _act(outcome: Outcome, *, pool: Pool, settings: Settings, registry: Registry, ecs: Any) -> Outcome:
    """Store the memory, give the orders, set the desired count and the revision, record the decision.

    Memory comes first: if the count fell and the stopping workers were forgotten, they would be recalled while ECS
    stops them. In this order they are only left alone for a while. Each step stands if a later one fails. A full Redis
    refuses memory and orders; the count may then only rise. A change that is not confirmed may have been made: the next
    tick reads what is, and asks again for what is missing.
    """
    decision, service = outcome.decision, outcome.observation.service
    orders = dict.fromkeys(decision.drain, ORDER_DRAIN) | dict.fromkeys(decision.recall, ORDER_CONSUME)
    problems: list[str] = []
    try:
        registry.write_memory(pool.name, decision.memory.to_record())
        if orders:
            registry.give_orders(orders)
        if outcome.is_given_up and settings.image:
            registry.note_given_up(pool.name, settings.image)
    except redis.RedisError as error:
        problems.append(why_not_done(error))
    if decision.desired is not None and isinstance(service, Service) and decision.desired != service.desired:
        if problems and decision.desired < service.desired:
            problems.append(f"desired {service.desired} not lowered")
        else:
            try:
                set_desired(ecs, cluster=settings.cluster, pool=pool, desired=decision.desired)
            except AWS_ERRORS as error:
                problems.append(why_not_done(error))
    if not problems and outcome.step is not None and outcome.step.move_to is not None:
        try:
            set_revision(ecs, cluster=settings.cluster, pool=pool, revision=outcome.step.move_to)
        except AWS_ERRORS as error:
            problems.append(why_not_done(error))
    outcome = replace(outcome, problems=(*outcome.problems, *problems))
    try:
        registry.record_decision(pool.name, outcome.to_record())
    except redis.RedisError as error:
        why = why_not_done(error, refused="not recorded", unclear="record not confirmed")
        outcome = replace(outcome, problems=(*outcome.problems, why))
    return outcome
