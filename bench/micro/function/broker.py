"""Fills Redis with a scene: messages, workers and orders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from bench.micro.function.scenes import CLUSTER, POOL_NAME, QUEUES, SLOTS, Scene, WorkerGroup
from fleet import registry
from fleet.access import unacked_keys
from fleet.member import DRAINED, WORKER, Member, member_id
from fleet.pools import lists_of
from fleet.registry import Registry

# The autoscaler reads only the oldest message of a list, so only that one has the size of Airflow's messages.
OLDEST_BYTES = 2_000
MESSAGE_BYTES = 200
MESSAGES_A_COMMAND = 10_000
FLEET_KEYS = "fleet:*"
KEYS_A_SCAN = 1_000
UNACKED = unacked_keys(POOL_NAME)[0]
TASK_ARN = "arn:aws:ecs:eu-central-1:123456789012:task/{cluster}/{number:032x}"


@dataclass(frozen=True, kw_only=True)
class PlacedWorker:
    """A worker of a scene with its order. `old`: it belongs to the previous deployment."""

    member: Member
    order: str | None
    old: bool


def workers_of(scene: Scene, *, first: int = 1) -> tuple[PlacedWorker, ...]:
    """Return the scene's workers; their ECS tasks are numbered from `first`."""
    numbers = itertools.count(first)
    return tuple(_worker(next(numbers), group) for group in scene.groups for _ in range(group.count))


def fill_queues(client: redis.Redis, count: int) -> None:
    """Empty the database, then put `count` messages into it, evenly over the queues' lists."""
    client.flushall()
    names = [name for queue in QUEUES for name in lists_of(queue)]
    with client.pipeline(transaction=False) as pipe:
        for number, name in enumerate(names):
            of_this = count // len(names) + (number < count % len(names))
            for batch in _batches(of_this):
                pipe.lpush(name, *batch)
                if len(batch) == MESSAGES_A_COMMAND:
                    pipe.execute()  # limits the pipeline's memory
        pipe.execute()


def fill_registry(client: redis.Redis, workers: Sequence[PlacedWorker]) -> None:
    """Replace the contents of the registry and the messages in flight."""
    in_flight: dict[Any, Any] = {
        f"tag-{number}": b"-" * MESSAGE_BYTES for number in range(sum(w.member.active for w in workers))
    }
    former = list(client.scan_iter(match=FLEET_KEYS, count=KEYS_A_SCAN))
    with client.pipeline(transaction=False) as pipe:
        pipe.delete(UNACKED, *former)
        for worker in workers:
            # Without an expiry, so that the workers need not report again.
            pipe.set(registry.member_key(worker.member.id), worker.member.to_json())
        if in_flight:
            pipe.hset(UNACKED, mapping=in_flight)
        pipe.execute()


def reset(client: redis.Redis, workers: Sequence[PlacedWorker], *, forget: bool) -> None:
    """Undo a tick: all workers have just reported and have the scene's orders. `forget` drops the scaler's memory."""
    now = Registry(client).now()
    orders = {registry.order_key(worker.member.id): worker.order for worker in workers}
    given: dict[Any, Any] = {key: order for key, order in orders.items() if order}
    with client.pipeline(transaction=False) as pipe:
        pipe.zadd(registry.MEMBERS_KEY, {worker.member.id: now for worker in workers})
        pipe.delete(*orders, *([registry.scaler_key(POOL_NAME)] if forget else []))
        if given:
            pipe.mset(given)
        pipe.execute()


def command_counts(client: redis.Redis) -> dict[str, int]:
    """Return how often Redis ran each command since `reset_command_counts`, including those in scripts."""
    stats: Any = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {name: count for name, count in calls.items() if not name.startswith(("config", "info"))}


def reset_command_counts(client: redis.Redis) -> None:
    client.config_resetstat()


def _batches(count: int) -> Iterator[list[bytes]]:
    left = count
    if left:
        yield [b"o" * OLDEST_BYTES]
        left -= 1
    while left > 0:
        yield [b"m" * MESSAGE_BYTES] * min(left, MESSAGES_A_COMMAND)
        left -= MESSAGES_A_COMMAND


def _worker(number: int, group: WorkerGroup) -> PlacedWorker:
    arn = TASK_ARN.format(cluster=CLUSTER, number=number)
    member = Member(
        id=member_id(arn.rpartition("/")[2], WORKER),
        role=WORKER,
        pool=POOL_NAME,
        image_version="v1.2.3-4-g5678abc",
        dags_hash=f"{0:064x}",
        airflow_version="3.3.2",
        state=group.state,
        slots=SLOTS,
        active=SLOTS if group.busy else 0,
        protected=group.state != DRAINED,
        started_at=1_700_000_000.123456,
        task_arn=arn,
        container=WORKER,
        queues=QUEUES,
    )
    return PlacedWorker(member=member, order=group.order, old=group.old)
