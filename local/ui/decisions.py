"""Reads the autoscaler's last decisions of every pool; what is no decision is counted, and hides nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import redis

from fleet.registry import decisions_key

Decision = dict[str, Any]
KEYS_A_PAGE = 1000
LATEST_TIME_S = 1e11  # what the calendar can show of seconds since the epoch


@dataclass(frozen=True, kw_only=True)
class Found:
    """Decisions of all pools together, the latest at the end; and how many entries, or whole lists, are unreadable."""

    decisions: tuple[Decision, ...]
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A decision, the last of so many `times` that the pool's decisions in a row said the same."""

    decision: Decision
    times: int = 1


def find(broker: redis.Redis, count: int) -> Found:
    """The last `count` of each pool. Raises redis.RedisError when Redis does not answer."""
    client: Any = broker  # the stubs say that answers may be awaitable
    decisions: list[Decision] = []
    unreadable = 0
    for key in client.scan_iter(match=decisions_key("*"), count=KEYS_A_PAGE):
        try:
            entries = client.lrange(key, 0, count - 1)
        except redis.ResponseError:  # a key of another type
            unreadable += 1
            continue
        read = [_decision(entry) for entry in entries]
        decisions += [decision for decision in read if decision is not None]
        unreadable += read.count(None)
    decisions.sort(key=lambda decision: (decision["t"], decision["pool"]))
    return Found(decisions=tuple(decisions), unreadable=unreadable)


def without_repetition(decisions: Iterable[Decision]) -> list[Repeated]:
    """Each pool's decisions in a row that say the same as one; in the order of their last times."""
    by_pool: dict[str, Repeated] = {}
    ended: list[Repeated] = []
    for decision in decisions:
        before = by_pool.get(decision["pool"])
        if before is not None and says_the_same(before.decision, decision):
            by_pool[decision["pool"]] = replace(before, decision=decision, times=before.times + 1)
            continue
        if before is not None:
            ended.append(before)
        by_pool[decision["pool"]] = Repeated(decision=decision)
    rows = [*ended, *by_pool.values()]
    return sorted(rows, key=lambda row: (row.decision["t"], row.decision["pool"]))


def says_the_same(one: Decision, other: Decision) -> bool:
    """Whether only time has passed between two decisions."""
    return dict(_besides_time(one)) == dict(_besides_time(other))


def _besides_time(decision: Decision) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in decision.items() if name not in ("t", "oldest_wait"))


def _decision(raw: bytes | str) -> Decision | None:
    """What the autoscaler recorded; None for anything that it would not have."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    t: Any = found.get("t")
    is_timed = type(t) in (int, float) and 0 <= t < LATEST_TIME_S
    is_told = isinstance(found.get("pool"), str) and isinstance(found.get("reason"), str)
    return found if is_timed and is_told and isinstance(found.get("problems"), list) else None
