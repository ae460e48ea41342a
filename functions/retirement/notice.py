"""Reads a notice of retirement: which ECS services and tasks AWS Health names. Pure.

For the tasks of a service Health names the service, as `cluster|service`; for others it names the task's ARN. Both
appear in the event's `resources` and in `detail.affectedEntities`, and there is no promise which of them is filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SOURCE = "aws.health"
ARN = re.compile(r"arn:[^:]*:ecs:(?P<region>[^:]*):[^:]*:(?P<kind>task|service|cluster)/(?P<path>.+)")
PAIR = re.compile(r"(?P<cluster>[A-Za-z0-9_-]+)[|/](?P<service>[A-Za-z0-9_-]+)")
# Of values that are not understood, the log names so many, each cut to this length.
MOST_NAMED, MOST_CHARACTERS = 10, 200


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a notice names of one cluster. `at`: when it was sent, in seconds since the epoch.

    `is_whole_cluster`: it names the cluster itself. `unknown`: values that name nothing that ECS has.
    """

    at: float
    services: frozenset[str]
    tasks: frozenset[str]
    is_whole_cluster: bool = False
    unknown: tuple[str, ...] = ()


def read_notice(event: Mapping[str, Any], *, cluster: str, region: str, now: float) -> Notice:
    """Return what the event names of the cluster, which is given by its name. Whatever it holds, it is read."""
    services: set[str] = set()
    tasks: set[str] = set()
    unknown: list[str] = []
    is_whole_cluster = False
    for value in _values(event):
        if arn := ARN.fullmatch(value):
            owner, _, name = arn["path"].partition("/")
            is_ours = owner == cluster and arn["region"] in ("", region)
            if is_ours and arn["kind"] == "task":
                tasks.add(value)
            elif is_ours and arn["kind"] == "service":
                services.add(name)
            elif is_ours:
                is_whole_cluster = True
        elif pair := PAIR.fullmatch(value):
            if pair["cluster"] == cluster and _region(event, default=region) == region:
                services.add(pair["service"])
        else:
            unknown.append(value[:MOST_CHARACTERS])
    return Notice(
        at=_sent_at(event, now=now),
        services=frozenset(services),
        tasks=frozenset(tasks),
        is_whole_cluster=is_whole_cluster,
        unknown=tuple(unknown[:MOST_NAMED]),
    )


def _values(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield each named value once."""
    detail = event.get("detail")
    entities = detail.get("affectedEntities") if isinstance(detail, Mapping) else None
    found = [entity.get("entityValue") for entity in _listed(entities) if isinstance(entity, Mapping)]
    yield from dict.fromkeys(value for value in (*_listed(event.get("resources")), *found) if isinstance(value, str))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _region(event: Mapping[str, Any], *, default: str) -> str:
    """Return the region that the notice is about: Health also sends it to a second region, in case of trouble."""
    detail = event.get("detail")
    named = detail.get("eventRegion") if isinstance(detail, Mapping) else None
    return named if isinstance(named, str) and named else default


def _sent_at(event: Mapping[str, Any], *, now: float) -> float:
    """Return when the notice was sent; now if it does not say so, and never later."""
    try:
        sent = datetime.fromisoformat(str(event.get("time")))
    except ValueError:
        return now
    return min(now, (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp())
