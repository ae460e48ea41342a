"""Adds to the days' records, minute by minute, what tasks have cost since.

Airflow's database keeps what ran; how many workers there were is known for the last hours only. So after Redis has
started empty, the days are added up again from the database, and of the hours before, only seconds count in which tasks
ran. The records say for how long.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from agent import variables
from agent.broker import Outage, in_words
from agent.costs.counts import read_counts
from agent.costs.ledger import Ledger, days_of_month
from agent.costs.spans import LONGEST_S, SHORTEST_S, Span, next_span, usd_of
from agent.costs.tries import TooManyTries, read_tries
from fleet.attribution import Ran, Use, attribute
from fleet.worker_price import WorkerSize, read_sizes

log = logging.getLogger(__name__)

# Each takes some 600 bytes while it is read. The forecaster has 176 MiB in the smallest ECS task.
MOST_TRIES = 20_000
# Beside the scheduler, with less priority.
BUDGET_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`pool_of`: the pool of each queue. `sizes`: of each pool's workers. `processor`: theirs, in the words of ECS."""

    pool_of: Mapping[str, str]
    sizes: Mapping[str, WorkerSize]
    processor: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings that the entrypoint put into the environment; raise KeyError or ValueError for others."""
        return cls(
            pool_of=json.loads(environment[variables.POOL_OF_QUEUE]),
            sizes=read_sizes(environment[variables.WORKER_SIZES]),
            processor=environment[variables.WORKER_PROCESSOR],
        )


class Accounts:
    """Adds up what tasks cost. Without broker or database `tick` does not raise, and nothing is lost."""

    def __init__(self, settings: Settings, *, engine: Engine, writer: Any, reader: Any) -> None:
        self._settings, self._engine = settings, engine
        self._ledger, self._reader = Ledger(writer), reader
        self._outage = Outage("what tasks cost is not added up", log)
        self._longest_s = LONGEST_S  # less, once a longer span had too many tries

    def tick(self, *, budget_s: float = BUDGET_S) -> None:
        """Add what is missing, for some `budget_s` at most; the rest is added by later ticks."""
        try:
            self._tick(ends_at=time.monotonic() + budget_s)
        except SQLAlchemyError as error:
            self._outage.begin(type(error).__name__)
        except TooManyTries as error:
            self._outage.begin(error)
        except redis.RedisError as error:
            self._outage.begin(in_words(error))
        else:
            self._outage.end()

    def _tick(self, *, ends_at: float) -> None:
        now = self._ledger.now()
        days = self._ledger.read(days_of_month(now))
        if next_span(days.values(), now=now) is None:
            return
        counts = read_counts(self._reader, sorted(set(self._settings.pool_of.values())), now=now)
        with Session(self._engine) as session:
            while (span := next_span(days.values(), now=now, longest_s=self._longest_s)) is not None:
                tries = self._tries(session, span)
                if tries is None:
                    continue
                uses = attribute(tries, counts, begin=span.begin, end=span.end)
                day = span.day.added(uses, self._usd(uses, lasted_s=span.end - span.begin), until=span.end)
                if not self._ledger.write(day, was=span.day):
                    return  # another forecaster is at it
                days[day.begin] = day
                if time.monotonic() >= ends_at:
                    return

    def _tries(self, session: Any, span: Span) -> list[Ran] | None:
        """Return the span's tries; None if there are too many: then spans are half as long from now on."""
        pool_of = self._settings.pool_of
        try:
            return read_tries(session, begin=span.begin, end=span.end, pool_of=pool_of, most=MOST_TRIES)
        except TooManyTries:
            if self._longest_s <= SHORTEST_S:
                raise
            self._longest_s /= 2
            return None

    def _usd(self, uses: Mapping[str, Use], *, lasted_s: float) -> dict[str, float]:
        sizes, processor = self._settings.sizes, self._settings.processor
        return {
            pool: usd_of(use, sizes[pool], processor, lasted_s=lasted_s) for pool, use in uses.items() if pool in sizes
        }
