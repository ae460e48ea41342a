"""What a day of the pools cost, payer by payer, as the registry holds it.

A day is one of UTC. The forecaster adds to its record as time passes, and the Fleet page reads it. Its size is bounded:
beyond the MOST_PAYERS payers with the most worker-seconds, payers are summed up as OTHERS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fleet.attribution import NOTHING, Payer, Share, Use
from fleet.validation import is_count, is_name, is_text, is_time, loads

RECORD_VERSION = 1
DAY_S = 86_400
DAYS_KEPT = 30  # the month of the Fleet page, today included
COSTS_TTL_S = (DAYS_KEPT + 2) * DAY_S
MOST_PAYERS = 500  # of a day, all pools together
MOST_CHARACTERS = 250  # of a DAG's id, which Airflow limits, and of its owners, which it does not
OTHERS: Payer = ("(other DAGs)", "")
MOST_S = 1e9  # of a sum of a day: a thousand workers for eleven days
ROUNDED_TO_S = 3  # decimals of a second


@dataclass(frozen=True, kw_only=True)
class PoolDay:
    """What a pool's workers did in a day, and what it cost in US dollars; None where a price is not known."""

    use: Use
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day that begins at `begin` and is accounted for up to `until`, in seconds since the epoch; by pool."""

    begin: int
    until: float
    pools: Mapping[str, PoolDay] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.begin + DAY_S

    def added(self, uses: Mapping[str, Use], usd: Mapping[str, float], *, until: float) -> Day:
        """Return the day with what followed, up to `until`. `usd`: dollars, of the pools whose price is known."""
        pools = dict(self.pools)
        for pool, use in uses.items():
            before = pools.get(pool)
            if before is None:
                pools[pool] = PoolDay(use=use, usd=usd.get(pool))
                continue
            known = before.usd is not None and pool in usd
            pools[pool] = PoolDay(use=before.use + use, usd=(before.usd or 0.0) + usd[pool] if known else None)
        return replace(self, until=until, pools=_bounded(pools))

    def to_json(self) -> str:
        pools = {pool: _to_record(found) for pool, found in self.pools.items()}
        return json.dumps({"version": RECORD_VERSION, "until": self.until, "pools": pools}, separators=(",", ":"))


def day_of(t: float) -> int:
    """Return when the day of a time begins, in seconds since the epoch."""
    return int(t // DAY_S) * DAY_S


def name_of(begin: int) -> str:
    """Return a day's name in the registry, such as 2026-12-01."""
    return datetime.fromtimestamp(begin, tz=UTC).date().isoformat()


def payer_of(dag: str, owners: str) -> Payer:
    """Return the payer, with names that a record may hold."""
    return dag[:MOST_CHARACTERS], owners[:MOST_CHARACTERS]


def parse_day(raw: bytes | str | None, *, begin: int) -> Day | None:
    """Return the day's record, None where there is none; raise ValueError for an invalid one."""
    if raw is None:
        return None
    record = loads(raw)
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
        raise ValueError(f"no record of what {name_of(begin)} cost")
    until: Any = record.get("until")
    pools = record.get("pools")
    if not is_time(until) or not begin <= until <= begin + DAY_S or not isinstance(pools, dict):
        raise ValueError(f"the record of what {name_of(begin)} cost has no time, or no pools")
    return Day(begin=begin, until=until, pools={pool: _pool_day(pool, found) for pool, found in pools.items()})


def _bounded(pools: Mapping[str, PoolDay]) -> dict[str, PoolDay]:
    """Sum up, in each pool, the payers beyond the MOST_PAYERS with the most worker-seconds."""
    ranked = sorted(
        ((share.worker_s, pool, payer) for pool, day in pools.items() for payer, share in day.use.shares.items()),
        reverse=True,
    )
    if len(ranked) <= MOST_PAYERS:
        return dict(pools)
    kept = {(pool, payer) for _, pool, payer in ranked[:MOST_PAYERS]}
    return {pool: replace(day, use=_summed_up(pool, day.use, kept)) for pool, day in pools.items()}


def _summed_up(pool: str, use: Use, kept: set[tuple[str, Payer]]) -> Use:
    shares: dict[Payer, Share] = {}
    for payer, share in use.shares.items():
        of = payer if (pool, payer) in kept else OTHERS
        shares[of] = shares.get(of, NOTHING) + share
    return replace(use, shares=shares)


def _to_record(day: PoolDay) -> dict[str, Any]:
    shares = [
        [*payer, share.tasks, round(share.task_s, ROUNDED_TO_S), round(share.worker_s, ROUNDED_TO_S)]
        for payer, share in day.use.shares.items()
    ]
    figures = {"idle_s": day.use.idle_s, "unknown_s": day.use.unknown_s}
    return {**{name: round(s, ROUNDED_TO_S) for name, s in figures.items()}, "usd": day.usd, "shares": shares}


def _pool_day(pool: str, record: Any) -> PoolDay:
    if not (
        isinstance(record, dict)
        and is_name(pool)
        and all(map(_is_sum, (record.get("idle_s"), record.get("unknown_s"))))
        and (record.get("usd") is None or _is_sum(record["usd"]))
        and isinstance(record.get("shares"), list)
        and all(map(_is_share, record["shares"]))
    ):
        raise ValueError(f"the record of what pool {pool!r:.80} cost is malformed")
    shares = {
        (dag, owners): Share(tasks=tasks, task_s=task_s, worker_s=worker_s)
        for dag, owners, tasks, task_s, worker_s in record["shares"]
    }
    return PoolDay(
        use=Use(shares=shares, idle_s=record["idle_s"], unknown_s=record["unknown_s"]), usd=record.get("usd")
    )


def _is_share(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 5:
        return False
    dag, owners, tasks, *sums = entry
    return is_name(dag) and is_text(owners) and is_count(tasks) and all(map(_is_sum, sums))


def _is_sum(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MOST_S
