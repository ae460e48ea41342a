"""One check of the versions: read, compare, remember, notify of changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import redis

from fleet.bundles import Bundles
from fleet.registry import Registry, Roster
from fleet.work import WorkReport
from shared.aws import AWS_ERRORS, in_words
from shared.broker import BROKER_ERRORS, Broker, why_not_done
from version_check.compare import Observation, compare
from version_check.memory import Memory, Store, find_silent, is_worth_telling, mark_announced, remember
from version_check.read import ask_webserver, read_tasks
from version_check.report import Message, Outcome, message_on
from version_check.settings import Settings
from version_check.verdict import Gap, Verdict
from version_check.work import Teller, items_of, message_on_work

FLEET = "fleet registry"
T = TypeVar("T")


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
    work: WorkReport | str | None = None
    try:
        client = parts.broker.connect()
        store = Store(client)
        roster = Registry(client).members()
        memory, raw = store.read()
        bundles, work = _read(Registry(client).bundles), _read(Registry(client).work)
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
        outcome = _store_and_tell(parts, store, before=raw, after=after, verdict=verdict)
        return _with_work(_with_bundles(outcome, bundles), work, problem=_tell_of_work(parts, client, work))
    except redis.RedisError as error:
        why = why_not_done(error, refused="result not stored in Redis", unclear="result in Redis not confirmed")
        return Outcome(verdict=verdict, memory=None, problems=(why,))


def _read(record: Callable[[], T]) -> T | str:
    """Return a record of the registry, or why it cannot be read. Raises redis.RedisError."""
    try:
        return record()
    except ValueError as error:
        return str(error)


def _with_bundles(outcome: Outcome, bundles: Bundles | str | None) -> Outcome:
    if isinstance(bundles, str):
        return replace(outcome, problems=(*outcome.problems, bundles))
    return replace(outcome, bundles=bundles)


def _with_work(outcome: Outcome, work: WorkReport | str | None, *, problem: str | None) -> Outcome:
    problems = (work if isinstance(work, str) else None, problem)
    outcome = replace(outcome, problems=(*outcome.problems, *filter(None, problems)))
    return outcome if isinstance(work, str) else replace(outcome, work=work)


def _tell_of_work(parts: Wiring, client: redis.Redis, work: WorkReport | str | None) -> str | None:
    """Tell people of what is beyond the limits and new; return why it failed. Raises redis.RedisError."""
    settings = parts.settings
    if not isinstance(work, WorkReport) or settings.topic_arn is None:
        return None
    items = items_of(work, settings.limits)

    def message(new: set[str]) -> Message:
        return message_on_work(items, report=work, new=new, cluster=settings.cluster, site_url=settings.site_url)

    return Teller(client, send=lambda said: _publish(parts, said)).tell(items, message)


def _publish(parts: Wiring, message: Message) -> None:
    parts.sns().publish(TopicArn=parts.settings.topic_arn, Subject=message.subject, Message=message.body)


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
        _publish(parts, message)
    except AWS_ERRORS as error:
        _, raw = store.read()
        store.replace(raw, after)
        why = why_not_done(error, refused="the notification failed", unclear="the notification is not confirmed")
        return Outcome(verdict=verdict, memory=after, problems=(why,))
    return Outcome(verdict=verdict, memory=told)
