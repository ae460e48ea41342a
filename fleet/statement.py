"""Sums up what days cost, by DAG and by owner.

The idle worker-seconds of a pool are divided among the payers of the same day. A day on which none of the pool's tasks
ran leaves them to no one. So the rows and that rest add up to what the workers cost, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.attribution import Bill, Payer, bills
from fleet.costs import OTHERS, Day, PoolDay

NO_OWNER = "(no owner)"


@dataclass(kw_only=True)
class Row:
    """What a DAG, or an owner, cost: `own_s` worker-seconds that its tasks bear, and its part of the idle ones.

    `task_s`: seconds that its tasks ran. `usd` is None as soon as the price of a part is not known.
    """

    name: str
    owners: str = ""
    tasks: int = 0
    task_s: float = 0.0
    own_s: float = 0.0
    idle_s: float = 0.0
    usd: float | None = 0.0

    @property
    def worker_s(self) -> float:
        return self.own_s + self.idle_s

    @property
    def beside(self) -> float | None:
        """Return how many tasks shared a worker with one of these, itself included; None if none ran."""
        return self.task_s / self.own_s if self.own_s else None

    @property
    def a_task_s(self) -> float | None:
        """Return the worker-seconds of one task; None if none ended."""
        return self.worker_s / self.tasks if self.tasks else None

    def add_bill(self, bill: Bill, *, usd_a_second: float | None) -> None:
        self.tasks += bill.share.tasks
        self.task_s += bill.share.task_s
        self.own_s += bill.share.worker_s
        self.idle_s += bill.idle_s
        self._pay(None if usd_a_second is None else bill.worker_s * usd_a_second)

    def add(self, other: Row) -> None:
        self.tasks += other.tasks
        self.task_s += other.task_s
        self.own_s += other.own_s
        self.idle_s += other.idle_s
        self._pay(other.usd)

    def _pay(self, usd: float | None) -> None:
        self.usd = None if usd is None or self.usd is None else self.usd + usd


@dataclass(frozen=True, kw_only=True)
class Statement:
    """`all`: the workers' whole cost. `unborne`: the part that no one bears. The dearest of the rows come first."""

    all: Row
    unborne: Row
    dags: tuple[Row, ...]
    owners: tuple[Row, ...]


def state(days: Iterable[Day]) -> Statement:
    """Return the sums of the days."""
    whole, unborne = Row(name="all"), Row(name="idle, for no task")
    dags: dict[Payer, Row] = {}
    owners: dict[str, Row] = {}
    for day in (found for each in days for found in each.pools.values()):
        price = _usd_a_second(day)
        of_payer, unborne_s = bills(day.use)
        if unborne_s:
            rest = Row(name="", idle_s=unborne_s, usd=None if price is None else unborne_s * price)
            unborne.add(rest)
            whole.add(rest)
        for payer, bill in of_payer.items():
            owner = _owner_of(payer)
            for row in (
                whole,
                dags.setdefault(payer, Row(name=payer[0], owners=payer[1])),
                owners.setdefault(owner, Row(name=owner)),
            ):
                row.add_bill(bill, usd_a_second=price)
    return Statement(all=whole, unborne=unborne, dags=_ordered(dags.values()), owners=_ordered(owners.values()))


def first_rows(rows: Iterable[Row], *, most: int) -> list[Row]:
    """Return the rows, those beyond the first as one, `most` in all."""
    ranked = list(rows)
    if len(ranked) <= most:
        return ranked
    others = Row(name=f"{len(ranked) - most + 1:,} others")
    for row in ranked[most - 1 :]:
        others.add(row)
    return [*ranked[: most - 1], others]


def _owner_of(payer: Payer) -> str:
    return payer[1] or (OTHERS[0] if payer == OTHERS else NO_OWNER)


def _usd_a_second(day: PoolDay) -> float | None:
    """Return the mean price of a worker-second; None if it is not known."""
    if day.usd is None:
        return None
    return day.usd / day.use.worker_s if day.use.worker_s else 0.0


def _ordered(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.worker_s, row.name)))
