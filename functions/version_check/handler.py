"""Entry point of the version check: runs by schedule, on ECS deployments, on demand."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from typing import Any

from aws_lambda_powertools import Logger

from shared import aws
from shared.broker import broker_of
from shared.service_names import ServiceNames
from shared.settings import whole_number
from shared.ticks import tick_until
from version_check.check import Wiring, check
from version_check.report import Outcome, publish
from version_check.settings import Settings
from version_check.verdict import ASLEEP, IN_SYNC
from version_check.work import publish_work

# An event may ask for fewer ticks: {"ticks": 1}.
TICKS = "ticks"
# The schedule invokes each minute. In sync, one tick is enough; otherwise ticks fill the time until then.
MOST_TICKS = 4
TICK_EVERY_S = 15.0
# The longest a tick takes, about, with Redis, ECS and the webserver slow.
LONGEST_TICK_S = 15.0

logger = Logger()


@functools.cache
def wiring() -> tuple[Wiring, ServiceNames]:
    settings, ecs = Settings.from_environment(os.environ), aws.client("ecs")
    parts = Wiring(
        settings=settings,
        broker=broker_of(settings.broker),
        ecs=ecs,
        sns=functools.cache(lambda: aws.client("sns")),
    )
    return parts, ServiceNames(ecs, cluster=settings.cluster)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return the last tick's verdict, see Verdict.to_record, with `since` and `seconds_out_of_sync`."""
    ticks = whole_number(event.get(TICKS, MOST_TICKS), name=TICKS, lowest=1)
    outcome = tick_until(
        tick,
        is_done=lambda seen: seen.verdict.status in (ASLEEP, IN_SYNC),
        ticks=ticks,
        every_s=TICK_EVERY_S,
        longest_tick_s=LONGEST_TICK_S,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )
    return outcome.to_record()


def tick() -> Outcome:
    """Check once and publish the outcome, and how Airflow's work goes."""
    parts, names = wiring()
    settings = parts.settings.with_names(names.find(parts.settings.services.values()))
    outcome = check(replace(parts, settings=settings))
    publish(outcome, cluster=settings.cluster, logger=logger)
    if outcome.work is not None:
        publish_work(outcome.work, cluster=settings.cluster)
    return outcome
