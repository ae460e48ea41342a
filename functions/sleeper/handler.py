"""Entry point of the sleeper: runs each minute, by its two schedules, and on demand."""

from __future__ import annotations

import functools
import os
import time
from typing import Any

from aws_lambda_powertools import Logger

from shared import aws
from shared.aws import AWS_ERRORS, in_words
from shared.broker import BROKER_ERRORS, broker_of, why_not_done
from shared.service_names import ServiceNames
from shared.settings import SettingsError, whole_number
from shared.tags import DESIRED_STATES, DesiredState
from shared.ticks import tick_until
from sleeper.act import Hands
from sleeper.plan import Plan, plan
from sleeper.read import Clients, Unreadable, read
from sleeper.settings import Settings

# An event may set the desired state and ask for fewer ticks: {"want": "asleep", "ticks": 1}.
WANT = "want"
TICKS = "ticks"
# The schedule invokes each minute. While something is under way, ticks fill the time until then.
MOST_TICKS = 11
TICK_EVERY_S = 5.0
# The longest a tick takes, about, with Redis and two APIs slow.
LONGEST_TICK_S = 15.0
UNKNOWN = "unknown"
PROBLEMS: tuple[type[Exception], ...] = (Unreadable, *AWS_ERRORS, *BROKER_ERRORS)

logger = Logger()


@functools.cache
def wiring() -> tuple[Settings, Clients, ServiceNames]:
    settings, ecs = Settings.from_environment(os.environ), aws.client("ecs")
    clients = Clients(
        ecs=ecs,
        rds=aws.client("rds"),
        alarms=aws.client("cloudwatch"),
        scaling=aws.client("application-autoscaling"),
        broker=broker_of(settings.broker),
    )
    return settings, clients, ServiceNames(ecs, cluster=settings.cluster)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return the record of the last tick: {phase, says, is_settled, gave_up, steps}."""
    settings, clients, names = wiring()
    settings = settings.with_names(names.find(settings.services))
    ticks = whole_number(event.get(TICKS, MOST_TICKS), name=TICKS, lowest=1)
    if (wanted := event.get(WANT)) is not None:
        record_desired_state(wanted, settings=settings, clients=clients, now=time.time())
    return tick_until(
        lambda: tick(settings=settings, clients=clients, now=time.time()),
        is_done=lambda record: bool(record["is_settled"]),
        ticks=ticks,
        every_s=TICK_EVERY_S,
        longest_tick_s=LONGEST_TICK_S,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )


def record_desired_state(wanted: object, *, settings: Settings, clients: Clients, now: float) -> None:
    """Record the desired state. Raises SettingsError for anything but asleep and awake, or one of PROBLEMS."""
    if wanted not in DESIRED_STATES:
        raise SettingsError(f"{WANT} is {wanted!r}: it must be one of {', '.join(DESIRED_STATES)}")
    Hands(clients, settings).record(DesiredState(state=str(wanted), since=int(now)))


def tick(*, settings: Settings, clients: Clients, now: float) -> dict[str, Any]:
    """Read, plan and act once. The record names what failed; the next tick starts again from what it reads then."""
    taken: list[str] = []
    try:
        found = plan(read(clients, settings, now=now), patience_s=settings.patience_s)
    except PROBLEMS as error:
        found = Plan(phase=UNKNOWN, says=in_words(error))
    hands = Hands(clients, settings)
    for step in found.steps:
        try:
            hands.take(step)
        except PROBLEMS as error:
            found = Plan(phase=UNKNOWN, says=f"{step.verb.value}: {why_not_done(error)}")
            break
        taken.append(step.verb.value)
    record = {
        "phase": found.phase,
        "says": found.says,
        "is_settled": found.is_settled,
        "gave_up": found.gave_up,
        "steps": taken,
    }
    is_well = found.phase != UNKNOWN and not found.gave_up
    (logger.info if is_well else logger.warning)("sleep", extra={"sleep": record})
    return record
