"""Entry point of the autoscaler function: ticks until the schedule invokes it again, at once when tasks have come."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aws_lambda_powertools import Logger

from autoscaler.glance import GLANCE_EVERY_S, more_wait
from autoscaler.observation import Unreadable
from autoscaler.redis_reader import read_queues
from autoscaler.report import publish, publish_state
from autoscaler.settings import Settings
from autoscaler.tick import TickResult, tick
from shared import aws
from shared.broker import BROKER_ERRORS, Broker, broker_of
from shared.known_tasks import KnownTasks
from shared.service_names import ServiceNames
from shared.settings import whole_number

# An event may ask for fewer ticks: {"ticks": 1}.
TICKS = "ticks"
# A tick takes at most about this long, with Redis away (its timeout and retry) or ECS slow. A tick cut short is safe.
TICK_TAKES_AT_MOST_S = 10
# An invocation ends this long before the next one is due: two at once would be safe, but Lambda would start a second
# environment.
ENDS_BEFORE_S = 2.0

logger = Logger()


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What an invocation works with. It is kept between invocations, so connections stay open and replies known."""

    settings: Settings
    broker: Broker
    ecs: Any
    tasks: KnownTasks
    names: ServiceNames


@functools.cache
def wiring() -> Wiring:
    aws.leave_times_as_numbers()  # no decision needs them
    settings, ecs = Settings.from_environment(os.environ), aws.client("ecs")
    return Wiring(
        settings=settings,
        broker=broker_of(settings.broker),
        ecs=ecs,
        tasks=KnownTasks(ecs, cluster=settings.cluster),
        names=ServiceNames(ecs, cluster=settings.cluster),
    )


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Tick until the next invocation is due; return the last decision about each pool."""
    parts = with_services(wiring())
    ticks = whole_number(event.get(TICKS, parts.settings.ticks), name=TICKS, lowest=1)
    return tick_repeatedly(
        parts,
        ticks=ticks,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
        stays=TICKS not in event,
    )


def with_services(parts: Wiring) -> Wiring:
    """Return the wiring with the names of the services as ECS lists them now."""
    names = parts.names.find(pool.service for pool in parts.settings.pools)
    return replace(parts, settings=parts.settings.with_names(names))


def tick_repeatedly(
    parts: Wiring,
    *,
    ticks: int,
    seconds_left: Callable[[], float],
    stays: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Tick up to `ticks` times, `poll_seconds` apart, and in between as soon as more messages wait.

    `stays`: glance at the queues also after the last of these ticks, until the next invocation is due. Return the
    number of ticks that were due, and the last decisions.
    """
    began, invoked_at, poll_s = clock(), time.time(), parts.settings.poll_seconds
    for number in range(1, ticks + 1):
        seen = _tick(parts, invoked_at=invoked_at)
        is_last = number == ticks
        due = began + number * poll_s - (ENDS_BEFORE_S if is_last else 0.0)
        if is_last and not stays:
            break
        while (left := due - clock()) > 0 and seconds_left() >= left + TICK_TAKES_AT_MOST_S:
            sleep(min(left, GLANCE_EVERY_S))
            if clock() < due and more_wait(seen.queued, _glance(parts)):
                seen = _tick(parts, invoked_at=invoked_at)
        if seconds_left() < max(0.0, left) + TICK_TAKES_AT_MOST_S:
            break
    return {TICKS: number, "pools": {outcome.pool: outcome.to_record() for outcome in seen.outcomes}}


def _tick(parts: Wiring, *, invoked_at: float) -> TickResult:
    seen = tick(settings=parts.settings, broker=parts.broker, ecs=parts.ecs, tasks=parts.tasks, invoked_at=invoked_at)
    publish(seen.outcomes, cluster=parts.settings.cluster, logger=logger)
    publish_state(seen.state, took_ms=seen.took_ms, cluster=parts.settings.cluster, logger=logger)
    return seen


def _glance(parts: Wiring) -> Mapping[str, Mapping[str, int] | Unreadable]:
    """Return what waits now, by pool; nothing if Redis cannot be read, which the next regular tick reports."""
    try:
        return read_queues(parts.broker.connect(), parts.settings.pools).queued
    except BROKER_ERRORS:
        return {}
