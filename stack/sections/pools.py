"""Worker pools: each a set of queues, with a service and size limits of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Parameter, Sub, Template

from fleet.pools import pool_entry
from stack.lib.parameters import Between, add_min_max_rule, add_parameter, placeholder
from stack.lib.services import SpotShare, add_spot_share
from stack.lib.task_definition import Size, add_size

# Airflow's own name for the queue of a task whose author names none.
DEFAULT_QUEUE = "default"
MAX_WORKERS = 1000
MAX_SLOTS = 256
# Fewest workers up to which the template itself holds them against the most: each number costs a list in it.
ORDER_EXACT_TO = 10


@dataclass(frozen=True, kw_only=True)
class DeclaredPool:
    """A declaration; the numbers are the defaults of the pool's parameters, and `cpu`/`memory_mib` a Fargate size."""

    name: str
    queues: tuple[str, ...]
    min: int = 1
    max: int = 10
    concurrency: int = 16
    cpu: str = "2048"
    memory_mib: str = "8192"
    storage_gib: int = 21
    spot_percent: int = 0
    on_demand_base: int = 1

    @property
    def title(self) -> str:
        """Prefix of the pool's logical ids: `heavy-sql` gives `HeavySql`."""
        return "".join(part.capitalize() for part in self.name.split("-"))


@dataclass(frozen=True, kw_only=True)
class SizedPool:
    """A pool with the parameters that an environment sets."""

    pool: DeclaredPool
    min: Parameter
    max: Parameter
    concurrency: Parameter
    size: Size
    storage_gib: Parameter
    spot: SpotShare


def add_pools(t: Template, pools: Sequence[DeclaredPool]) -> tuple[SizedPool, ...]:
    _check(pools)
    return tuple(_add_pool(t, pool) for pool in pools)


def _check(pools: Sequence[DeclaredPool]) -> None:
    """ValueError if two pools share a name or a queue: the backlog of a queue can be only one pool's demand.

    Or if no pool has the default queue: most tasks would wait for ever.
    """
    for what, names in (
        ("name", [pool.title for pool in pools]),
        ("queue", [queue for pool in pools for queue in pool.queues]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two pools have the same {what}: {', '.join(twice)}")
    if not any(DEFAULT_QUEUE in pool.queues for pool in pools):
        raise ValueError(f"no pool listens to the queue {DEFAULT_QUEUE}")


def _add_pool(t: Template, pool: DeclaredPool) -> SizedPool:
    group = f"Workers ({pool.name})"
    minimum, maximum = _add_limits(t, pool, group=group)
    return SizedPool(
        pool=pool,
        min=minimum,
        max=maximum,
        concurrency=add_parameter(
            t,
            f"{pool.title}Concurrency",
            group=group,
            label="Slots a worker",
            description=f"Airflow tasks that one worker of the pool {pool.name} runs at once.",
            constraint=Between(low=1, high=MAX_SLOTS),
            default=pool.concurrency,
        ),
        size=add_size(
            t,
            pool.title,
            group=group,
            owner=f"a worker of the pool {pool.name}",
            cpu=pool.cpu,
            memory_mib=pool.memory_mib,
        ),
        storage_gib=add_parameter(
            t,
            f"{pool.title}StorageGib",
            group=group,
            label="Disk in GiB",
            description=f"Disk of a worker of the pool {pool.name}, gone with it; Fargate's own is one GiB less.",
            constraint=Between(low=21, high=200),
            default=pool.storage_gib,
        ),
        spot=add_spot_share(
            t,
            pool.title,
            group=group,
            owner=f"the workers of the pool {pool.name}",
            percent=pool.spot_percent,
            base=pool.on_demand_base,
        ),
    )


def _add_limits(t: Template, pool: DeclaredPool, *, group: str) -> tuple[Parameter, Parameter]:
    minimum = add_parameter(
        t,
        f"{pool.title}Min",
        group=group,
        label="Fewest workers",
        description=f"Workers of the pool {pool.name} that run even when nothing is queued.",
        constraint=Between(low=0, high=MAX_WORKERS),
        default=pool.min,
    )
    maximum = add_parameter(
        t,
        f"{pool.title}Max",
        group=group,
        label="Most workers",
        description=f"Workers of the pool {pool.name} that may run at once; not below the fewest.",
        constraint=Between(low=1, high=MAX_WORKERS),
        default=pool.max,
    )
    add_min_max_rule(t, pool.title, low=minimum, high=maximum, exact_to=ORDER_EXACT_TO)
    return minimum, maximum


def pools_json(pools: Sequence[SizedPool], *, services: Mapping[str, Any] | None = None) -> Sub:
    """The pools as JSON, the one format for containers and functions; `services` by pool name, for the functions."""
    return Sub(f"[{','.join(_pool_json(sized, services=services) for sized in pools)}]")


def _pool_json(sized: SizedPool, *, services: Mapping[str, Any] | None) -> str:
    name = sized.pool.name
    entry = pool_entry(
        name=json.dumps(name),
        service="" if services is None else f'"{placeholder(services[name], "Name")}"',
        queues=json.dumps(sized.pool.queues),
        minimum=placeholder(sized.min),
        maximum=placeholder(sized.max),
        concurrency=placeholder(sized.concurrency),
    )
    return "{" + ",".join(f'"{field}":{text}' for field, text in entry.items()) + "}"
