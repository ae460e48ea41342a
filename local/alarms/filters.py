"""Makes numbers of a container's log lines, as CloudWatch's metric filters do. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from project.errors import CommandError

_FIELD = re.compile(r"\{ \$\.(\w+) = \* \}")
_TEXT = re.compile(r'"([^"]+)"')


class UnsupportedFilter(CommandError):
    """The local stack cannot evaluate a metric filter; the message names what it does not know."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A metric filter of a log group: lines of JSON with `field`, which is the value, or lines that contain `text`."""

    group: str
    namespace: str
    metric: str
    field: str | None = None
    text: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Filter:
        """Read one as DescribeMetricFilters returns it. Raises UnsupportedFilter."""
        pattern, (made,) = told["filterPattern"], told["metricTransformations"]
        where = {"group": told["logGroupName"], "namespace": made["metricNamespace"], "metric": made["metricName"]}
        if (found := _FIELD.fullmatch(pattern)) and made["metricValue"] == f"$.{found[1]}":
            return cls(**where, field=found[1])
        if (found := _TEXT.fullmatch(pattern)) and made["metricValue"] == "1":
            return cls(**where, text=found[1])
        raise UnsupportedFilter(f"metric filter {told['filterName']}: {pattern} is not supported locally")

    def values(self, lines: Iterable[str]) -> list[float]:
        """Return a number for each line that it takes."""
        return [value for line in lines if (value := self._value(line)) is not None]

    def _value(self, line: str) -> float | None:
        if self.text is not None:
            return 1.0 if self.text in line else None
        try:
            record = json.loads(line)
            return float(record[self.field]) if isinstance(record, dict) and self.field in record else None
        except (ValueError, TypeError, RecursionError):
            return None
