"""What may be wrong with a forecast."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ForecastError:
    """All slots times `factor`, and written `behind_s` seconds after it was true."""

    factor: float = 1.0
    behind_s: float = 0.0


NO_ERROR = ForecastError()
