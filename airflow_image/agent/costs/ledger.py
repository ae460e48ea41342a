"""The records of what the last days cost, in the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from fleet.costs import COSTS_TTL_S, DAY_S, DAYS_KEPT, Day, day_of, parse_day
from fleet.registry import Registry, costs_key


def days_of_month(now: float) -> list[int]:
    """Return when today and the days before it begin, DAYS_KEPT in all, the latest first."""
    today = day_of(now)
    return [today - DAY_S * ago for ago in range(DAYS_KEPT)]


class Ledger:
    """Reads and writes the days. Every method may raise redis.RedisError."""

    def __init__(self, client: Any) -> None:
        self._redis = client

    def now(self) -> float:
        """Return seconds since the epoch, by Redis's clock."""
        return Registry(self._redis).now()

    def read(self, begins: Sequence[int]) -> dict[int, Day]:
        """Return each day, in this order; one without a record, or with an invalid one, is not accounted for yet."""
        raw = self._redis.mget([costs_key(begin) for begin in begins])
        return {begin: _day(record, begin) for begin, record in zip(begins, raw, strict=True)}

    def write(self, day: Day, *, was: Day) -> bool:
        """Replace a day; return False, and change nothing, if the record is no longer accounted up to the same time.

        Each copy of the ECS task `airflow` has a forecaster, and one of them adds each span of time.
        """
        key = costs_key(day.begin)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(key)
            if _day(pipe.get(key), day.begin).until != was.until:
                return False
            pipe.multi()
            pipe.set(key, day.to_json(), ex=COSTS_TTL_S)
            try:
                pipe.execute()
            except redis.WatchError:
                return False
        return True


def _day(raw: bytes | str | None, begin: int) -> Day:
    nothing = Day(begin=begin, until=float(begin))
    try:
        return parse_day(raw, begin=begin) or nothing
    except ValueError:
        return nothing  # it is added up again, from Airflow's database
