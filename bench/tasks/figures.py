"""Computes the figures of both systems from their turns, and the ratios between them."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.micro.machine import QUIET_SHARE
from bench.tasks.sizes import SLOTS, Sizes
from bench.tasks.turn import EMPTY, HEADROOM, MANY_TASKS, WITH_PANDAS, Turn

Values = dict[str, float | None]
RARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures of stock Airflow and of the product by name; None for one that could not be measured.

    `other_share`: the most of the machine that other programs took in any of the measurements.
    """

    stock: Values
    product: Values
    other_share: float

    @property
    def is_quiet(self) -> bool:
        return self.other_share <= QUIET_SHARE

    @property
    def ratios(self) -> Values:
        """The product's figures divided by stock Airflow's."""
        return {name: ratio(self.product[name], self.stock[name]) for name in self.product if name in self.stock}


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Return ours / theirs; None if one is unknown, or theirs is too small to be divided by."""
    return None if ours is None or not theirs else ours / theirs


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def result(stock: Sequence[Turn], product: Sequence[Turn], sizes: Sizes) -> Result:
    """Return the result of all turns."""
    return Result(
        stock=figures(stock, sizes),
        product=figures(product, sizes),
        other_share=max(turn.other_share for turn in (*stock, *product)),
    )


def figures(turns: Sequence[Turn], sizes: Sizes) -> Values:
    """Return the figures of a system.

    Other work can only add to processor time and lengthen a burst: the best turn counts. Times of single runs and held
    slots are of all turns together; memory is the mean.
    """
    return {
        "chain_cpu": _least(turns, lambda turn: turn.bursts[EMPTY].chain_ms),
        "worker_cpu": _worker_ms(turns, EMPTY),
        "pandas_cpu": _worker_ms(turns, WITH_PANDAS),
        "many_tasks_cpu": _worker_ms(turns, MANY_TASKS),
        **_by_process(turns),
        "tasks_per_s_full": max(turn.bursts[EMPTY].per_s for turn in turns),
        "tasks_per_s_headroom": max(turn.bursts[HEADROOM].per_s for turn in turns),
        "hold_p90": percentile([each for turn in turns for each in turn.bursts[EMPTY].held_s], RARE),
        "trigger_to_start": statistics.median(each for turn in turns for each in turn.to_start_s),
        "trigger_to_end": statistics.median(each for turn in turns for each in turn.to_end_s),
        "worker_start": _least(turns, lambda turn: turn.worker_start_s),
        "scheduler_idle": _least(turns, lambda turn: turn.scheduler_idle_cores),
        "webserver_cpu_8": _least(turns, lambda turn: turn.full[SLOTS].webserver_cores),
        "pss_scheduler": _mean(turn.scheduler_mib for turn in turns),
        "retries": float(sum(turn.retries for turn in turns)),
        **{f"pss_idle_{slots}": _mean(turn.full[slots].idle_mib for turn in turns) for slots in sizes.slots},
        **{f"pss_busy_{slots}": _mean(turn.full[slots].busy_mib for turn in turns) for slots in sizes.slots},
    }


def record(found: Result) -> dict[str, bool | float | Mapping[str, float | None] | None]:
    """Return one object: `quiet`, each ratio by its name, figures of the product with their units, and all values."""
    ours = found.product
    per_s, worker_ms = ours["tasks_per_s_full"], ours["worker_cpu"]
    return {
        "quiet": found.is_quiet,
        "other_share": found.other_share,
        **found.ratios,
        "worker_cpu_ms": worker_ms,
        "tasks_per_s_per_core_full": None if per_s is None else per_s / (os.cpu_count() or 1),
        "hold_p90_s": ours["hold_p90"],
        "trigger_to_end_s": ours["trigger_to_end"],
        "worker_start_s": ours["worker_start"],
        "scheduler_idle_core": ours["scheduler_idle"],
        "product": found.product,
        "stock": found.stock,
    }


def _by_process(turns: Sequence[Turn]) -> Values:
    """Return the processor time of an empty task by role and server, where the worker's roles count together."""
    others = set(turns[0].bursts[EMPTY].cpu_ms) - set(turns[0].worker_roles)
    return {f"cpu_{role}": _least(turns, _cpu_of(role)) for role in sorted(others)}


def _cpu_of(role: str) -> Callable[[Turn], float]:
    return lambda turn: turn.bursts[EMPTY].cpu_ms[role]


def _worker_ms(turns: Sequence[Turn], burst: str) -> float:
    return _least(turns, lambda turn: turn.bursts[burst].worker_ms(turn.worker_roles))


def _least(turns: Sequence[Turn], value: Callable[[Turn], float]) -> float:
    return min(map(value, turns))


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [each for each in found if each is not None]
    return statistics.fmean(known) if len(known) == len(found) else None
