"""One check of the versions: read, compare, remember, notify of changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import redis

from fleet.bundles import Bundles
from fleet.registry import Registry, Roster
from shared.aws import AWS_ERRORS, in_words
from shared.broker import BROKER_ERRORS, Broker, why_not_done
from version_check.compare import Observation, compare
from version_check.memory import Memory, Store, find_silent, is_worth_telling, mark_announced, remember
from version_check.read import ask_webserver, read_tasks
from version_check.report import Outcome, message_on
from version_check.settings import Settings
from version_check.verdict import Gap, Verdict

FLEET = "fleet registry"


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The settings and clients of an invocation; kept between invocations, so connections stay open.

    `sns` makes its client only when there is something to publish.
    """

    settings: Settings
    broker: Broker
    ecs: Any
    sns: Callable[[], Any]


def check(parts: Wiring) -> Outcome:
    """Check once. Failures of AWS, Redis or the webserver do not raise: they make the verdict unknown."""
    store: Store | None = None
    memory, raw, now = Memory(), None, time.time()
    roster: Roster | Gap
    bundles: Bundles | str | None = None
    try:
        client = parts.broker.connect()
        store = Store(client)
        roster = Registry(client).members()
        memory, raw = store.read()
        bundles = _read_bundles(Registry(client))
        now = roster.read_at
    except BROKER_ERRORS as error:
        roster, store = Gap(who=FLEET, why=in_words(error)), None
    settings = parts.settings
    reported = [member.id for member in roster.members] if isinstance(roster, Roster) else []
    tasks = read_tasks(parts.ecs, cluster=settings.cluster, services=settings.services, reported=reported)
    if tasks.is_asleep:
        return _forget_while_asleep(store, raw=raw, now=now)
    silent = find_silent(memory, tasks.containers, reported, now=now)
    verdict = compare(
        Observation(now=now, tasks=tasks, roster=roster, answer=ask_webserver(settings.webserver_url), silent=silent)
    )
    if store is None:
        return Outcome(verdict=verdict, memory=None)
    after = remember(memory, verdict, silent)
    try:
        return _with_bundles(_store_and_tell(parts, store, before=raw, after=after, verdict=verdict), bundles)
    except redis.RedisError as error:
        why = why_not_done(error, refused="result not stored in Redis", unclear="result in Redis not confirmed")
        return Outcome(verdict=verdict, memory=None, problems=(why,))


def _read_bundles(registry: Registry) -> Bundles | str | None:
    """Return what the scheduler reports of DAG bundles, or why it cannot be read. Raises redis.RedisError."""
    try:
        return registry.bundles()
    except ValueError as error:
        return str(error)


def _with_bundles(outcome: Outcome, bundles: Bundles | str | None) -> Outcome:
    if isinstance(bundles, str):
        return replace(outcome, problems=(*outcome.problems, bundles))
    return replace(outcome, bundles=bundles)


def _forget_while_asleep(store: Store | None, *, raw: bytes | None, now: float) -> Outcome:
    """Report `asleep` and forget the earlier result: a sleep does not count as time out of sync."""
    verdict = Verdict(at=now, reference=None, compared=0, out_of_sync=(), unknown=(), is_asleep=True)
    if store is not None:
        try:
            store.replace(raw, Memory())
        except redis.RedisError as error:
            why = why_not_done(
                error, refused="earlier result not cleared", unclear="clearing the earlier result not confirmed"
            )
            return Outcome(verdict=verdict, memory=None, problems=(why,))
    return Outcome(verdict=verdict, memory=None)


def _store_and_tell(parts: Wiring, store: Store, *, before: bytes | None, after: Memory, verdict: Verdict) -> Outcome:
    """Store the memory, then notify of a change. Storing first lets exactly one of several concurrent checks notify.

    When the notification fails, the memory is stored again without it, so that the next check notifies.
    """
    told = mark_announced(after)
    is_mine = store.replace(before, told)
    if not (is_mine and is_worth_telling(after)) or parts.settings.topic_arn is None:
        return Outcome(verdict=verdict, memory=told)
    message = message_on(verdict, after, cluster=parts.settings.cluster)
    try:
        parts.sns().publish(TopicArn=parts.settings.topic_arn, Subject=message.subject, Message=message.body)
    except AWS_ERRORS as error:
        _, raw = store.read()
        store.replace(raw, after)
        why = why_not_done(error, refused="the notification failed", unclear="the notification is not confirmed")
        return Outcome(verdict=verdict, memory=after, problems=(why,))
    return Outcome(verdict=verdict, memory=told)
