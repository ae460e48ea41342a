"""What the autoscaler remembers about a pool between two ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.boots import LONGEST_BOOT_S, MAX_LAUNCHES, MAX_REMEMBERED, Boots, Launch
from autoscaler.estimates import MAX_SAMPLES, DemandSample, Head
from autoscaler.racing import Budget
from autoscaler.revision import Rollout
from fleet.registry import BOOTS_TOOK, LAUNCHES
from fleet.validation import is_count, is_time

# Far beyond what one tick launches. Each is remembered when it ends: a billion would exhaust the function's memory.
MOST_LAUNCHED = 10_000


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one pool's decisions remember; times are Redis's.

    `surplus_since`: since when there has been a surplus, None without one. `stopping`: ids of drained workers for which
    the desired count was lowered, and when. `heads`: the oldest message of each list. `samples`: the demand of the last
    minute. `boots`: those under way and how long the last ones took. `racing`: what races may cost. `rollout`: how far
    the stack's revision is.
    """

    surplus_since: float | None = None
    stopping: Mapping[str, float] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)
    samples: tuple[DemandSample, ...] = ()
    boots: Boots = field(default_factory=Boots)
    racing: Budget = field(default_factory=Budget)
    rollout: Rollout = field(default_factory=Rollout)

    def to_record(self) -> dict[str, Any]:
        # "released" and "sights" are the names of an earlier release; new ones would lose the memory at an upgrade.
        return {
            "surplus_since": self.surplus_since,
            "released": dict(self.stopping),
            "heads": {name: [head.digest, head.since] for name, head in self.heads.items()},
            "sights": [[sample.at, sample.demand] for sample in self.samples],
            LAUNCHES: [[launch.at, launch.tasks] for launch in self.boots.launches],
            BOOTS_TOOK: [round(seconds, 1) for seconds in self.boots.took_s],
            "racing": self._racing(),
            "rollout": self.rollout.to_record(),
        }

    def _racing(self) -> list[float]:
        budget = self.racing
        return (
            []
            if budget == Budget()
            else [round(budget.left_s, 3), budget.racers, budget.workers, budget.at, budget.fresh]
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Memory:
        """Return the memory stored as `record`; an empty record is an empty memory. Raises ValueError."""
        since, released = record.get("surplus_since"), record.get("released", {})
        if since is not None and not is_time(since):
            raise ValueError(f"surplus_since is {since!r}")
        if not isinstance(released, dict) or not all(is_time(at) for at in released.values()):
            raise ValueError("released is not a map of times")
        took = record.get(BOOTS_TOOK, [])
        if not isinstance(took, list) or len(took) > MAX_REMEMBERED or not all(map(_is_boot, took)):
            raise ValueError("boots_took is not a short list of boots' seconds")
        launches = _counts(record.get(LAUNCHES, []), name="launches", most=MAX_LAUNCHES)
        if any(count > MOST_LAUNCHED for _, count in launches):
            raise ValueError(f"a launch is of more than {MOST_LAUNCHED} tasks")
        sights = _counts(record.get("sights", []), name="sights", most=MAX_SAMPLES)
        return cls(
            surplus_since=since,
            stopping=released,
            heads=_heads(record.get("heads", {})),
            samples=tuple(DemandSample(at=at, demand=count) for at, count in sights),
            boots=Boots(launches=tuple(Launch(at=at, tasks=count) for at, count in launches), took_s=tuple(took)),
            racing=_budget(record.get("racing", [])),
            rollout=Rollout.from_record(record.get("rollout", {})),
        )


def _budget(record: Any) -> Budget:
    if record == []:
        return Budget()
    if not isinstance(record, list) or len(record) != 5 or not _is_budget(*record):
        raise ValueError("racing is not a number of seconds, two counts, a time and a count")
    left_s, racers, workers, at, fresh = record
    return Budget(left_s=left_s, racers=racers, workers=workers, at=at, fresh=fresh)


def _is_budget(left_s: Any, racers: Any, workers: Any, at: Any, fresh: Any) -> bool:
    # An overdraft is what late ticks made losers cost.
    is_left = is_time(-left_s if type(left_s) in (int, float) and left_s < 0 else left_s)
    is_counted = is_count(racers) and is_count(workers) and is_count(fresh) and fresh <= racers
    return is_left and is_counted and is_time(at)


def _heads(record: Any) -> dict[str, Head]:
    if not isinstance(record, dict) or not all(map(_is_head, record.values())):
        raise ValueError("heads is not a map of digests and times")
    return {name: Head(digest=digest, since=since) for name, (digest, since) in record.items()}


def _counts(record: Any, *, name: str, most: int) -> list[tuple[float, int]]:
    if not isinstance(record, list) or len(record) > most or not all(map(_is_count, record)):
        raise ValueError(f"{name} is not a short list of times and counts")
    return [(at, count) for at, count in record]


def _is_boot(value: Any) -> bool:
    return is_time(value) and value <= LONGEST_BOOT_S


def _is_count(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    at, count = value
    return is_time(at) and is_count(count)


def _is_head(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and is_time(value[1])
