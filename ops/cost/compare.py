"""Puts two estimates side by side, resource by resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ops.cost.estimate import Line


@dataclass(frozen=True, kw_only=True)
class Row:
    """Dollars a month of one resource on the left and on the right; 0 where it is not there."""

    resource: str
    what: str
    left_usd: float
    right_usd: float


def compare(left: Sequence[Line], right: Sequence[Line]) -> list[Row]:
    """Every resource of either, the dearest first; what differs between the two is said of both."""
    rows = []
    for resource in sorted({line.resource for line in (*left, *right)}):
        mine, theirs = ([line for line in lines if line.resource == resource] for lines in (left, right))
        said = [", ".join(line.what for line in lines) for lines in (mine, theirs) if lines]
        rows.append(
            Row(
                resource=resource,
                what=" | ".join(dict.fromkeys(said)),
                left_usd=sum(line.usd for line in mine),
                right_usd=sum(line.usd for line in theirs),
            )
        )
    return sorted(rows, key=lambda row: (-max(row.left_usd, row.right_usd), row.resource))
