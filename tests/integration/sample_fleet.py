"""A fleet as the registry would hold it, for tests of who reads it."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace

import redis

from fleet import history, registry
from fleet.registry import CONSUMING, DRAINING, RUNNING, WEBSERVER, WORKER, Member, Registry

CODE = {"image_version": "1.4.0", "dags_hash": "4c1f0e6a" * 8, "airflow_version": "3.3.2"}
OLDER = {**CODE, "image_version": "1.3.2", "dags_hash": "9b07aa31" * 8}
HOSTILE = "<img src=x onerror=\"document.title='injected'\"><script>document.title='injected'</script>"
AIRFLOW_ROLES = (WEBSERVER, "scheduler", "dag-processor", "triggerer")


def a_member(number: int, *, role: str = WORKER, pool: str | None = "worker", now: float, **changes: object) -> Member:
    """One that reports well; `changes` replace its fields."""
    task = f"{number:032x}"
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
    return replace(member, **changes)  # type: ignore[arg-type]


def airflow_members(*, now: float) -> list[Member]:
    """Those of the service airflow, and flower."""
    return [a_member(9000 + n, role=role, now=now) for n, role in enumerate((*AIRFLOW_ROLES, "flower"))]


def report(client: redis.Redis, members: Iterable[Member]) -> None:
    """Lets them all report now."""
    fleet = Registry(client)
    for member in members:
        fleet.report(member)


def queue(client: redis.Redis, name: str, count: int) -> None:
    """Puts as many messages into a queue."""
    client.delete(name)
    if count:
        client.rpush(name, *[b"a message"] * count)


def write_past(client: redis.Redis, pool: str, *, now: float, workers: int, slots: int) -> None:
    """Some hours with a wave of work, one decision each STEP_S, and a forecast of the next hour."""
    fleet = Registry(client)
    reasons = ("demand 5 of 16 slots: the size suits", "demand grows: 2 more", "surplus for 60 s: 1 drains")
    for step in range(history.SLOTS - 1, -1, -1):
        t = now - step * history.STEP_S
        wave = 0.5 + 0.5 * math.sin(step / 45) * math.cos(step / 160)
        active = round(wave * workers * slots * 0.9)
        consuming = max(1, math.ceil(active / slots))
        queued = round(max(0.0, wave - 0.8) * workers * slots * 2)
        decision = {"t": t, "pool": pool, "reason": reasons[step % 3], "queued": queued, "active": active}
        decision |= {"consuming": consuming, "draining": step % 7 // 5, "drained": 0, "desired": consuming + step % 2}
        decision |= {"was": consuming, "needed": consuming, "drain": [], "recall": [], "unreadable": [], "problems": []}
        fleet.record_decision(pool, decision)
    expected = [[now + 60 * m, round(slots * workers * (0.4 + 0.3 * math.sin(m / 9)), 1)] for m in range(0, 90, 3)]
    client.set(registry.forecast_key(pool), json.dumps(expected))


def a_fleet(client: redis.Redis) -> float:
    """A fleet amid a deployment, as one would like to look at it; Redis's time when it reported."""
    now = Registry(client).now()
    workers = [a_member(n, now=now) for n in range(1, 11)]
    old = [replace(a_member(n, now=now, state=DRAINING, active=3), **OLDER) for n in (11, 12)]
    heavy = [a_member(n, pool="heavy", now=now, slots=2, active=2) for n in (21, 22, 23)]
    report(client, [*airflow_members(now=now), *workers, *old, *heavy])
    queue(client, "default", 27)
    queue(client, "heavy", 4)
    write_past(client, "worker", now=now, workers=12, slots=16)
    write_past(client, "heavy", now=now, workers=5, slots=2)
    return now
