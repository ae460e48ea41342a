"""The worker pools, as the template declares them to containers and functions in the variable POOLS."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.validation import is_name

POOLS = "POOLS"

# The fields of an entry of POOLS.
NAME = "name"
SERVICE = "service"
QUEUES = "queues"
MINIMUM = "min"
MAXIMUM = "max"
CONCURRENCY = "concurrency"
TASK_DEFINITION = "task_definition"
# The compact form, for functions: Lambda takes few bytes of variables. It is an object with the list ENTRIES, whose
# entries are lists of the values of COMPACT_FIELDS, and with how their texts of the fields in SHARED begin.
ENTRIES = "pools"
COMPACT_FIELDS = (NAME, SERVICE, QUEUES, MINIMUM, MAXIMUM, CONCURRENCY, TASK_DEFINITION)
SHARED = (SERVICE, TASK_DEFINITION)

# How kombu's Redis transport spreads a queue over lists (its default sep and priority_steps; step 0 has no suffix).
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (3, 6, 9)


class PoolsError(ValueError):
    """POOLS does not declare usable pools; the message names the variable and the first fault."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A set of queues with workers of its own, each of `concurrency` slots.

    `service` is the name or ARN of the pool's ECS service in the functions; it is empty in the containers.
    `task_definition` is the ARN of the revision that the autoscaler is to roll out; it is empty elsewhere.
    `minimum` and `maximum` are 0 in a worker, which is not told them: their change must not replace it.
    A `minimum` above the `maximum` means the maximum: one pool's parameters must not stop the other pools' scaling.
    """

    name: str
    queues: tuple[str, ...]
    minimum: int
    maximum: int
    concurrency: int
    service: str = ""
    task_definition: str = ""


def pool_entry(
    *,
    name: Any,
    queues: Any,
    concurrency: Any,
    minimum: Any = None,
    maximum: Any = None,
    service: Any = "",
    task_definition: Any = "",
) -> dict[str, Any]:
    """Return a pool's entry in POOLS; the template's generator passes JSON texts and placeholders as values.

    Without `minimum` and `maximum` it is an entry for the pool's workers.
    """
    return {
        NAME: name,
        **({SERVICE: service} if service else {}),
        QUEUES: queues,
        **({} if minimum is None else {MINIMUM: minimum}),
        **({} if maximum is None else {MAXIMUM: maximum}),
        CONCURRENCY: concurrency,
        **({TASK_DEFINITION: task_definition} if task_definition else {}),
    }


def read_pools(declaration: str, *, with_services: bool = False, with_limits: bool = True) -> tuple[Pool, ...]:
    """Return the pools that the text of POOLS declares; raise PoolsError.

    `with_services`: each must have its service. `with_limits`: each must have its limits; otherwise they are not read.
    """
    try:
        declared = json.loads(declaration)
    except ValueError:
        raise PoolsError(f"{POOLS} is not JSON") from None
    entries = _expand(declared) if isinstance(declared, dict) else declared
    if not isinstance(entries, list) or not entries:
        raise PoolsError(f"{POOLS} is not a list of at least one pool")
    pools = tuple(_read_pool(entry, with_services=with_services, with_limits=with_limits) for entry in entries)
    for what, values in (
        (NAME, [pool.name for pool in pools]),
        (SERVICE, [pool.service for pool in pools if pool.service]),
    ):
        if len(set(values)) < len(values):
            raise PoolsError(f"{POOLS}: two pools have the same {what}")
    return pools


def find_pool(pools: Sequence[Pool], name: str) -> Pool:
    """Return the pool called `name`; PoolsError lists the declared ones."""
    for pool in pools:
        if pool.name == name:
            return pool
    raise PoolsError(f"POOL is {name!r}, and {POOLS} declares only {', '.join(pool.name for pool in pools)}")


def total_slots(pools: Sequence[Pool]) -> int:
    """Return how many tasks can run at once when every pool is at its maximum."""
    return sum(pool.maximum * pool.concurrency for pool in pools)


def why_unserved(queue: str, pools: Sequence[Pool]) -> str:
    """Return why no worker takes tasks of the queue, with the most similar queue; "" if a pool serves it."""
    served = sorted({name for pool in pools for name in pool.queues})
    if queue in served:
        return ""
    similar = difflib.get_close_matches(str(queue), served, n=1)
    hint = f"did you mean {similar[0]!r}? " if similar else ""
    return f"no pool serves the queue {queue!r}; {hint}The queues are {', '.join(served)}"


def lists_of(queue: str) -> tuple[str, ...]:
    """Return the Redis lists that hold a queue's messages."""
    return (queue, *(f"{queue}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS))


def lists_of_pools(pools: Iterable[Pool]) -> list[str]:
    """Return the Redis lists that hold the messages of all the pools' queues."""
    return [name for pool in pools for queue in pool.queues for name in lists_of(queue)]


def _expand(declared: dict[str, Any]) -> Any:
    """Return the entries of the compact form as objects; what has no such form stays, and is refused as an entry."""
    entries = declared.get(ENTRIES)
    shared = {field: declared.get(field, "") for field in SHARED}
    if not isinstance(entries, list) or not all(isinstance(text, str) for text in shared.values()):
        return None
    return [_expand_entry(entry, shared) if isinstance(entry, list) else entry for entry in entries]


def _expand_entry(entry: list[Any], shared: dict[str, str]) -> dict[str, Any]:
    values = dict(zip(COMPACT_FIELDS, entry, strict=False))
    return {
        field: shared[field] + value if field in shared and isinstance(value, str) else value
        for field, value in values.items()
    }


def _read_pool(entry: Any, *, with_services: bool, with_limits: bool) -> Pool:
    if not isinstance(entry, dict):
        raise PoolsError(f"{POOLS}: {entry!r} is not an object")
    name, service, queues = entry.get(NAME), entry.get(SERVICE, ""), entry.get(QUEUES)
    if not is_name(name):
        raise PoolsError(f"{POOLS}: {NAME} is {name!r}: it must be a text that is not empty")
    if not isinstance(service, str) or (with_services and not service):
        raise PoolsError(f"{POOLS}: {SERVICE} of pool {name} is {service!r}: it must be an ECS service")
    if not isinstance(task_definition := entry.get(TASK_DEFINITION, ""), str):
        what = f"{TASK_DEFINITION} of pool {name} is {task_definition!r}"
        raise PoolsError(f"{POOLS}: {what}: it must be the ARN of a revision")
    if not isinstance(queues, list) or not queues or not all(map(is_name, queues)):
        raise PoolsError(f"{POOLS}: {QUEUES} of pool {name} is {queues!r}: it must be a list of at least one name")
    limits = ((MINIMUM, 0), (MAXIMUM, 1)) if with_limits else ()
    for field, lowest in (*limits, (CONCURRENCY, 1)):
        value = entry.get(field)
        if type(value) is not int or value < lowest:
            what = f"{POOLS}: {field} of pool {name}"
            raise PoolsError(f"{what} is {value!r}: it must be a whole number of at least {lowest}")
    return Pool(
        name=name,
        service=service,
        queues=tuple(dict.fromkeys(queues)),
        minimum=entry[MINIMUM] if with_limits else 0,
        maximum=entry[MAXIMUM] if with_limits else 0,
        concurrency=entry[CONCURRENCY],
        task_definition=task_definition,
    )
