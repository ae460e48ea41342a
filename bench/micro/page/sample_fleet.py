"""A sample fleet in the registry, for measurements, tests and pictures."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import redis

from fleet import costs, history, registry
from fleet.attribution import Share, Use
from fleet.member import CONSUMING, DRAINING, RUNNING, WEBSERVER, WORKER, Member
from fleet.registry import Registry

CODE: dict[str, Any] = {"image_version": "1.4.0", "dags_hash": "4c1f0e6a" * 8, "airflow_version": "3.3.2"}
OLDER: dict[str, Any] = {**CODE, "image_version": "1.3.2", "dags_hash": "9b07aa31" * 8}
HOSTILE = "<img src=x onerror=\"document.title='injected'\"><script>document.title='injected'</script>"
HEARTBEAT_S = 5.0
AIRFLOW_ROLES = (WEBSERVER, "scheduler", "dag-processor", "triggerer")


def a_member(number: int, *, role: str = WORKER, pool: str | None = "worker", now: float, **changes: Any) -> Member:
    """Return a healthy member; `changes` replace its fields."""
    task = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    is_worker = role == WORKER
    member = Member(
        id=f"{task}/{role}",
        role=role,
        pool=pool if is_worker else None,
        **CODE,
        state=CONSUMING if is_worker else RUNNING,
        slots=16 if is_worker else 0,
        active=number % 17 if is_worker else 0,
        protected=is_worker,
        started_at=now - 3600,
        task_arn=f"arn:aws:ecs:eu-central-1:123456789012:task/cluster/{task}",
        container=role,
        queues=("default",) if is_worker else (),
    )
    return replace(member, **changes)


def airflow_members(*, now: float) -> list[Member]:
    """Return the members of the services airflow and flower."""
    return [a_member(9000 + n, role=role, now=now) for n, role in enumerate((*AIRFLOW_ROLES, "flower"))]


def report(client: redis.Redis, members: Iterable[Member]) -> None:
    """Report all members now."""
    fleet = Registry(client)
    for member in members:
        fleet.report(member)


def queue(client: redis.Redis, name: str, count: int) -> None:
    """Put `count` messages into a queue."""
    client.delete(name)
    if count:
        client.rpush(name, *[b"a message"] * count)


def write_past(client: redis.Redis, pool: str, *, now: float, workers: int, slots: int) -> None:
    """Write decisions of some hours, one each STEP_S, with waves of work up to `workers`, and a forecast."""
    fleet = Registry(client)
    for step in range(history.SLOTS - 1, 0, -1):
        wave = 0.5 + 0.5 * math.cos(step / 60) * math.cos(step / 400)
        active = round(wave * workers * slots * 0.95)
        consuming = max(1, math.ceil(active / slots))
        queued = round(max(0.0, wave - 0.75) * workers * slots)
        draining = 1 if math.sin(step / 60) < -0.5 else 0
        figures = {"queued": queued, "active": active, "consuming": consuming, "draining": draining}
        desired = max(consuming + draining, math.ceil((queued + active) / slots))
        decide(fleet, pool, t=now - step * history.STEP_S, was=desired, desired=desired, **figures)
    expected = [[int(now) + 60 * minutes, max(1, slots * workers // minutes)] for minutes in (2, 5, 9, 14)]
    client.set(registry.forecast_key(pool), json.dumps(expected))


def decide(fleet: Registry, pool: str, *, t: float, was: int, desired: int, **figures: int) -> None:
    """Record a decision as the autoscaler does, in its words: see autoscaler.reason."""
    queued, change = figures["queued"], f"desired {was} -> {desired}"
    tasks = f"{queued} tasks wait for a slot" if queued else f"All {figures['active']} tasks have a slot"
    launch = f": launch {_workers(desired - was)} ({change})" if desired > was else ""
    fall = f"; {change}: {_workers(was - desired)} no longer needed" if desired < was else ""
    needed = f"{queued} queued + {figures['active']} active need {desired}"
    reason = f"{tasks}{launch}{fall}; {needed}: {figures['consuming']} consuming, {figures['draining']} draining"
    lists: dict[str, list[str]] = {"drain": [], "recall": [], "unreadable": [], "problems": []}
    fleet.record_decision(
        pool, {"t": t, "pool": pool, "reason": reason, "was": was, "desired": desired, **figures, **lists}
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


# DAGs with their owners, the dearest first.
PAYERS = (("daily_sales", "finance"), ("train_models", "data science"), ("refresh_reports", "finance"))


def write_costs(client: redis.Redis, *, now: float, days: int = costs.DAYS_KEPT, dag: str = "events_to_lake") -> None:
    """Write what the last days cost: `dag` the most, then PAYERS; no task ran yesterday."""
    for ago in range(days):
        begin = costs.day_of(now) - ago * costs.DAY_S
        shares = {
            payer: Share(tasks=400 // nth, task_s=90_000.0 / nth, worker_s=30_000.0 / nth)
            for nth, payer in enumerate(((dag, "platform"), *PAYERS), start=1)
        }
        use = Use(shares=shares if ago != 1 else {}, idle_s=14_400.0)
        day = costs.Day(begin=begin, until=float(begin))
        until = now - 60 if ago == 0 else float(begin + costs.DAY_S)
        record = day.added({"worker": use}, {"worker": use.worker_s / 3600 * 0.1165}, until=max(until, float(begin)))
        client.set(registry.costs_key(begin), record.to_json())


def a_fleet(client: redis.Redis) -> None:
    """Write a fleet in the middle of a deployment."""
    fleet = Registry(client)
    now = fleet.now()
    workers = [a_member(n, now=now, active=16 - n % 3) for n in range(1, 11)]
    old = [replace(a_member(n, now=now, state=DRAINING, active=n - 10), **OLDER) for n in (11, 13)]
    heavy = [a_member(n, pool="heavy", now=now, slots=2, active=2) for n in (21, 22, 23, 25)]
    report(client, [*airflow_members(now=now), *workers, *old, *heavy])
    queue(client, "default", 27)
    queue(client, "heavy", 2)
    write_past(client, "worker", now=now, workers=10, slots=16)
    write_past(client, "heavy", now=now, workers=4, slots=2)
    write_costs(client, now=now)
    active = sum(worker.active for worker in (*workers, *old))
    decide(fleet, "worker", t=now - 1, was=11, desired=13, queued=27, active=active, consuming=10, draining=2)
    decide(fleet, "heavy", t=now - 1, was=4, desired=5, queued=2, active=8, consuming=4, draining=0)


@contextlib.contextmanager
def kept_alive(client: redis.Redis) -> Iterator[None]:
    """Keep all members reporting until the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(HEARTBEAT_S):
            with contextlib.suppress(redis.ConnectionError):  # the broker is away in some tests
                now = Registry(client).now()
                names: Any = client.zrange(registry.MEMBERS_KEY, 0, -1)  # the stubs know no type for it
                for name in names:
                    client.zadd(registry.MEMBERS_KEY, {name: now}, xx=True)
                    client.expire(registry.member_key(name.decode()), registry.RECORD_TTL_S)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
