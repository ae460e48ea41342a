"""Shows the autoscaler's last decisions readably."""

from __future__ import annotations

import json
import time
from typing import Any

import redis
from rich import box
from rich.table import Table
from rich.text import Text

from fleet.registry import decisions_key

Decision = dict[str, Any]
COLUMNS = ("queued", "active", "consuming", "draining", "desired")


def last(broker: redis.Redis, count: int) -> list[Decision]:
    """The last decisions of all pools together, the latest at the end. Raises redis.RedisError."""
    pools = broker.scan_iter(match=decisions_key("*"), count=1000)
    client: Any = broker
    found = [json.loads(entry) for key in pools for entry in client.lrange(key, 0, count - 1)]
    return sorted(found, key=lambda decision: (decision["t"], decision["pool"]))[-count:]


def table(decisions: list[Decision]) -> Table:
    """One row a decision; a figure that was not known is a dash."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("time", "pool"):
        made.add_column(name, no_wrap=True)
    for name in COLUMNS:
        made.add_column(name, justify="right")
    made.add_column("reason", overflow="fold")
    for decision in decisions:
        style = "yellow" if decision.get("unreadable") or decision.get("problems") else ""
        cells = [_time(decision), decision["pool"], *(_figure(decision, name) for name in COLUMNS), _reason(decision)]
        made.add_row(*(Text(cell) for cell in cells), style=style)
    return made


def line(decision: Decision) -> str:
    """The same on one line, where there is no terminal."""
    figures = "  ".join(f"{name} {_figure(decision, name)}" for name in COLUMNS)
    return f"{_time(decision)}  {decision['pool']}  {figures}  {_reason(decision)}"


def _time(decision: Decision) -> str:
    return time.strftime("%H:%M:%S", time.localtime(decision["t"]))


def _figure(decision: Decision, name: str) -> str:
    value = decision.get(name)
    if name == "desired" and value is not None and decision.get("was") not in (None, value):
        return f"{decision['was']} → {value}"
    return "-" if value is None else str(value)


def _reason(decision: Decision) -> str:
    return "; ".join([str(decision["reason"]), *map(str, decision.get("problems", ()))])
