"""A measured figure held against its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.limit

    def to_row(self) -> tuple[str, str, str, str]:
        """What, measured, limit, whether it holds: as text."""
        return (
            self.what,
            f"{self.measured:.3g} {self.unit}".strip(),
            f"{self.limit:g} {self.unit}".strip(),
            "yes" if self.holds else "NO",
        )


COLUMNS = ("what", "measured", "limit", "holds")
