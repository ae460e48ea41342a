"""What the scaler remembers about a pool between two looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.waits import Head


@dataclass(frozen=True, kw_only=True)
class Memory:
    """`surplus_since`: since when more workers consume than are needed, None when they do not.

    `released`: workers for which desired was lowered, and when. ECS stops them, or has by now.
    `heads`: the oldest message of each list, see `waits`.
    """

    surplus_since: float | None = None
    released: Mapping[str, float] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        heads = {name: [head.digest, head.since] for name, head in self.heads.items()}
        return {"surplus_since": self.surplus_since, "released": dict(self.released), "heads": heads}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Memory:
        """The memory stored as `record`; an empty record is an empty memory. Raises ValueError."""
        since, released = record.get("surplus_since"), record.get("released", {})
        if since is not None and not _is_time(since):
            raise ValueError(f"surplus_since is {since!r}")
        if not isinstance(released, dict) or not all(_is_time(at) for at in released.values()):
            raise ValueError("released is not a map of times")
        return cls(surplus_since=since, released=released, heads=_heads(record.get("heads", {})))


def _heads(record: Any) -> dict[str, Head]:
    if not isinstance(record, dict) or not all(map(_is_head, record.values())):
        raise ValueError("heads is not a map of digests and times")
    return {name: Head(digest=digest, since=since) for name, (digest, since) in record.items()}


def _is_head(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_time(value[1])


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
