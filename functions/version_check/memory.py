"""What the version check remembers between ticks: since when the status holds, and which status was announced.

Pure, except `Store`, which keeps it in the broker's Redis.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import redis

from fleet.registry import MEMBER_TTL_S, VERSIONS_KEY
from fleet.validation import is_flag, is_time
from version_check.compare import Container
from version_check.verdict import IN_SYNC, OUT_OF_SYNC, UNKNOWN, Verdict

STATUSES = (IN_SYNC, OUT_OF_SYNC, UNKNOWN)
# A new container runs for some seconds before it reports, and a deployment takes minutes: neither is worth a message.
# A status that is still unknown after this time is.
UNKNOWN_SETTLES_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Times are seconds since the epoch by Redis's clock.

    `since`: start of the status. `skewed_since`: since when the versions have not been in sync, None while they are.
    `announced`: the last status that was announced. `silent`: since when a running container has not reported, by id.
    `looked_at`: time of the last tick. `is_starting_only`: see Verdict; the `silent` ones are workers that start.
    """

    status: str = ""
    since: float = 0.0
    skewed_since: float | None = None
    announced: str = ""
    silent: Mapping[str, float] = field(default_factory=dict)
    looked_at: float = 0.0
    is_starting_only: bool = False

    def seconds_out_of_sync(self) -> float:
        """Return the time out of sync, 0 while in sync. Unknown counts as out of sync: silence is never agreement."""
        return 0.0 if self.skewed_since is None else max(0.0, self.looked_at - self.skewed_since)


def find_silent(
    memory: Memory, containers: Iterable[Container], reported: Iterable[str], *, now: float
) -> dict[str, float]:
    """Return the running containers that do not report, and since when, by member id.

    One that ran at the last tick and was not silent reported until MEMBER_TTL_S ago; a new one never has.
    """
    heard = set(reported)
    found = {}
    for container in containers:
        if container.member not in heard:
            reported_before = container.started_at < memory.looked_at and container.member not in memory.silent
            first = now - MEMBER_TTL_S if reported_before else container.started_at
            found[container.member] = memory.silent.get(container.member, max(first, container.started_at))
    return found


def remember(memory: Memory, verdict: Verdict, silent: Mapping[str, float]) -> Memory:
    """Return the memory after this verdict, before anything is announced."""
    same = memory.status == verdict.status
    skewed = None if verdict.status == IN_SYNC else min(memory.skewed_since or verdict.at, verdict.at)
    return Memory(
        status=verdict.status,
        since=min(memory.since, verdict.at) if same else verdict.at,
        skewed_since=skewed,
        announced=memory.announced,
        silent=silent,
        looked_at=verdict.at,
        is_starting_only=verdict.is_starting_only,
    )


def is_worth_telling(memory: Memory) -> bool:
    """Return whether to announce the status: it differs from the last announced one, and lasts."""
    if memory.status == memory.announced or (memory.status == IN_SYNC and not memory.announced):
        return False
    return memory.status != UNKNOWN or memory.looked_at - memory.since >= UNKNOWN_SETTLES_S


def mark_announced(memory: Memory) -> Memory:
    """Return the memory after the announcement. A first status of in sync needs no announcement and is marked too."""
    well_from_the_start = memory.status == IN_SYNC and not memory.announced
    return replace(memory, announced=memory.status) if is_worth_telling(memory) or well_from_the_start else memory


class Store:
    """The memory in Redis. Every method may raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client

    def read(self) -> tuple[Memory, bytes | None]:
        """Return the memory with its raw form, for `replace`. A malformed one reads as empty and is overwritten."""
        raw = self._redis.get(VERSIONS_KEY)
        return _parse(raw), raw

    def replace(self, raw: bytes | None, memory: Memory) -> bool:
        """Store `memory` in place of `raw`; return False when another check has replaced `raw` meanwhile."""
        with self._redis.pipeline() as pipe:
            pipe.watch(VERSIONS_KEY)
            if pipe.get(VERSIONS_KEY) != raw:
                return False
            pipe.multi()
            pipe.set(VERSIONS_KEY, json.dumps(asdict(memory), separators=(",", ":")))
            try:
                pipe.execute()
            except redis.WatchError:
                return False
        return True


def _parse(raw: bytes | None) -> Memory:
    try:
        record = json.loads(raw or b"{}")
        memory = Memory(**record)
    except (ValueError, TypeError):
        return Memory()
    times = [memory.since, memory.looked_at, *([] if memory.skewed_since is None else [memory.skewed_since])]
    known = memory.status in ("", *STATUSES) and memory.announced in ("", *STATUSES)
    if not known or not isinstance(memory.silent, dict) or not is_flag(memory.is_starting_only):
        return Memory()
    return memory if all(map(is_time, [*times, *memory.silent.values()])) else Memory()
