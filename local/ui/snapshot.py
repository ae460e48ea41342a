"""Reads from the running stack what the Fleet page shows, and the autoscaler's last decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from agent.page.reader import read_fleet, read_history
from fleet.pools import Pool
from local.ui.decisions import Row, read_decisions, rows_of, unreadable_note

LAST_ROWS = 8
DECISIONS_READ = 200  # of each pool; most are equal to the one before


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`fleet` and `history` as the Fleet page's endpoints answer; the last decisions, the latest last, and a note."""

    fleet: dict[str, Any]
    history: dict[str, Any]
    decisions: tuple[Row, ...]
    note: str = ""


def read_snapshot(broker: redis.Redis, pools: Sequence[Pool]) -> Snapshot:
    """Read the present state. Raises redis.RedisError."""
    decisions = read_decisions(broker, [pool.name for pool in pools], DECISIONS_READ)
    return Snapshot(
        fleet=read_fleet(broker, pools),
        history=read_history(broker, pools),
        decisions=tuple(rows_of(decisions.found)[-LAST_ROWS:]),
        note=unreadable_note(decisions.unreadable),
    )
