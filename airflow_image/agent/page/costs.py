"""Reads what tasks cost, by DAG and by owner, today and in the last month, for the Fleet page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import redis

from agent.page.words import count
from fleet.costs import DAY_S, DAYS_KEPT, Day, day_of, parse_day
from fleet.pools import Pool
from fleet.registry import Registry, costs_key
from fleet.statement import Row, first_rows, state
from fleet.worker_price import AS_OF, PRICES_OF

HOUR_S = 3600
MOST_ROWS = 200  # of a table
# The forecaster adds each minute what has come.
BEHIND_AFTER_S = 600.0
# A gap of this length is no more than the time between two samples of the autoscaler.
UNKNOWN_FROM_S = 300.0


def read_costs(client: redis.Redis, _: Sequence[Pool]) -> dict[str, Any]:
    """Return what tasks cost, ready for JSON. Raises redis.RedisError."""
    now = Registry(client).now()
    begins = [day_of(now) - DAY_S * ago for ago in range(DAYS_KEPT)]
    raw: Any = client.mget([costs_key(begin) for begin in begins])
    days: list[Day] = []
    troubles: list[str] = []
    for begin, record in zip(begins, raw, strict=True):
        try:
            day = parse_day(record, begin=begin)
        except ValueError as error:
            troubles.append(str(error))
            continue
        if day is not None:
            days.append(day)
    today = [day for day in days if day.begin == begins[0]]
    behind_s = now - (today[0].until if today else begins[0])
    if behind_s > BEHIND_AFTER_S:
        since = f"for {behind_s / 60:,.0f} minutes" if today else "today"
        troubles.append(f"what tasks cost has not been added up {since}: the forecaster, beside the scheduler, does it")
    return {
        "read_at": now,
        "until": today[0].until if today else None,
        "troubles": troubles,
        "prices": f"List prices of {PRICES_OF}, as of {AS_OF}, without discounts and taxes.",
        "periods": [
            {"name": "Today", **_period(today)},
            {"name": f"{DAYS_KEPT} days", **_period(days)},
        ],
    }


def _period(days: Sequence[Day]) -> dict[str, Any]:
    found = state(days)
    return {
        "all": _record(found.all),
        "unborne": _record(found.unborne),
        "note": _unknown(days),
        "dags": [_record(row) for row in first_rows(found.dags, most=MOST_ROWS)],
        "owners": [_record(row) for row in first_rows(found.owners, most=MOST_ROWS)],
    }


def _record(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "owners": row.owners,
        "tasks": row.tasks,
        "worker_s": round(row.worker_s, 1),
        "idle_s": round(row.idle_s, 1),
        "beside": None if row.beside is None else round(row.beside, 1),
        "a_task_s": None if row.a_task_s is None else round(row.a_task_s, 1),
        "usd": None if row.usd is None else round(row.usd, 4),
    }


def _unknown(days: Iterable[Day]) -> str:
    """Say for how long it is not known how many workers there were; nothing if it is."""
    longest = [max((found.use.unknown_s for found in day.pools.values()), default=0.0) for day in days]
    unknown = [s for s in longest if s >= UNKNOWN_FROM_S]
    if not unknown:
        return ""
    return (
        f"For {sum(unknown) / HOUR_S:,.1f} hours on {count(len(unknown), 'day')} it is not known how many workers "
        "there were. Of these hours only the time counts in which tasks ran."
    )
