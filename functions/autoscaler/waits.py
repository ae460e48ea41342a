"""How long the oldest message of a queue has waited at least, from what the looks have seen.

Airflow's messages carry no time of their own. So the scaler remembers since when it has seen the same message at the
head of a list. Only a short digest of it, made by Redis itself, ever leaves Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Head:
    """The oldest message of one list, by digest, and since when it has been seen there (Redis's time)."""

    digest: str
    since: float


def heads_now(digests: Mapping[str, str], remembered: Mapping[str, Head], *, now: float) -> dict[str, Head]:
    """Each list's head; one that is the same as before keeps its time, which is never in the future."""
    heads = {}
    for name, digest in digests.items():
        before = remembered.get(name)
        same = before is not None and before.digest == digest
        heads[name] = Head(digest=digest, since=min(before.since, now) if before is not None and same else now)
    return heads


def oldest_wait_s(heads: Mapping[str, Head], *, now: float) -> float:
    """A lower bound of the longest wait; 0 when nothing waits."""
    return max([now - head.since for head in heads.values()]) if heads else 0.0
