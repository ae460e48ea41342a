"""Reads POOLS, the declaration of the worker pools that the template hands to every container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from roles.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A set of queues with workers of its own: at most `max`, each with `concurrency` slots."""

    name: str
    queues: tuple[str, ...]
    max: int
    concurrency: int


def read_pools(declaration: str) -> tuple[Pool, ...]:
    """The declared pools; ConfigurationError names the first thing that is not as it should be."""
    try:
        entries = json.loads(declaration)
    except ValueError:
        raise ConfigurationError("POOLS is not JSON") from None
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError("POOLS is not a list of at least one pool")
    pools = tuple(_read_pool(entry) for entry in entries)
    if len({pool.name for pool in pools}) < len(pools):
        raise ConfigurationError("POOLS names a pool twice")
    return pools


def find_pool(pools: tuple[Pool, ...], name: str) -> Pool:
    """The pool called `name`; ConfigurationError lists those there are."""
    for pool in pools:
        if pool.name == name:
            return pool
    raise ConfigurationError(f"POOL is {name!r}, and POOLS declares only {', '.join(pool.name for pool in pools)}")


def total_slots(pools: tuple[Pool, ...]) -> int:
    """How many tasks can run at once when every pool is at its maximum."""
    return sum(pool.max * pool.concurrency for pool in pools)


def _read_pool(entry: Any) -> Pool:
    if not isinstance(entry, dict):
        raise ConfigurationError("POOLS holds an entry that is not an object")
    name, queues = entry.get("name"), entry.get("queues")
    if not isinstance(name, str) or not name:
        raise ConfigurationError("POOLS holds a pool without a name")
    if not isinstance(queues, list) or not queues or not all(isinstance(queue, str) and queue for queue in queues):
        raise ConfigurationError(f"POOLS: the queues of pool {name} are not a list of names")
    for field in ("max", "concurrency"):
        if type(entry.get(field)) is not int or entry[field] < 1:
            raise ConfigurationError(f"POOLS: {field} of pool {name} is not a number of at least 1")
    return Pool(name=name, queues=tuple(queues), max=entry["max"], concurrency=entry["concurrency"])
