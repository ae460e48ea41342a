"""Entry point of the autoscaler function: ticks until the schedule invokes it again."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aws_lambda_powertools import Logger

from autoscaler.report import publish, publish_state
from autoscaler.settings import Settings
from autoscaler.tick import tick
from shared import aws
from shared.broker import Broker, broker_of
from shared.known_tasks import KnownTasks
from shared.service_names import ServiceNames
from shared.settings import whole_number

# An event may ask for fewer ticks: {"ticks": 1}.
TICKS = "ticks"
# A tick takes at most about this long, with Redis away (its timeout and retry) or ECS slow. A tick cut short is safe.
TICK_TAKES_AT_MOST_S = 10

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
    return tick_repeatedly(parts, ticks=ticks, seconds_left=lambda: context.get_remaining_time_in_millis() / 1000)


def with_services(parts: Wiring) -> Wiring:
    """Return the wiring with the names of the services as ECS lists them now."""
    names = parts.names.find(pool.service for pool in parts.settings.pools)
    return replace(parts, settings=parts.settings.with_names(names))


def tick_repeatedly(
    parts: Wiring,
    *,
    ticks: int,
    seconds_left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Tick up to `ticks` times, each `poll_seconds` after the previous tick began."""
    began, done, last = clock(), 0, {}
    invoked_at = time.time()
    while True:
        seen = tick(
            settings=parts.settings, broker=parts.broker, ecs=parts.ecs, tasks=parts.tasks, invoked_at=invoked_at
        )
        publish(seen.outcomes, cluster=parts.settings.cluster, logger=logger)
        publish_state(seen.state, took_ms=seen.took_ms, cluster=parts.settings.cluster, logger=logger)
        done += 1
        last = {outcome.pool: outcome.to_record() for outcome in seen.outcomes}
        pause = max(0.0, began + done * parts.settings.poll_seconds - clock())
        if done == ticks or seconds_left() < pause + TICK_TAKES_AT_MOST_S:
            return {TICKS: done, "pools": last}
        sleep(pause)
