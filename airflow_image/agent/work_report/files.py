"""What the report on the work says of DAG files: the exception of a broken one, and for how long none may be parsed.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet.work import shown

# A bundle's files are parsed again after an interval that Airflow's settings have; a large bundle takes a while.
PARSED_WITHIN_INTERVALS, PARSED_WITHIN_S = 3, 900.0
_EXCEPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?::|$)")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What Airflow's settings say: triggers of one triggerer, and the seconds between two parses of a file."""

    triggers_each: int
    parse_interval_s: float

    @property
    def parse_limit_s(self) -> float:
        """Seconds after which a bundle counts as not parsed."""
        return max(PARSED_WITHIN_S, PARSED_WITHIN_INTERVALS * self.parse_interval_s)


def exception_of(trace: str) -> str:
    """Return the name of the exception that ends a stack trace; empty if there is none.

    The message behind it is left out: it may hold what a DAG file has read, and goes to people by mail.
    """
    lines = [line.strip() for line in trace.strip().splitlines() if line.strip()]
    match = _EXCEPTION.match(lines[-1]) if lines else None
    return shown(match.group(1)) if match else ""
