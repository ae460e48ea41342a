"""Collects metrics from logs, as CloudWatch does: functions' embedded metrics, and metric filters of containers."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.alarms.filters import Filter

MOST_POINTS = 5_000  # of each metric: more than a day of one each 20 s
MARK = '"_aws"'

Points = Sequence[tuple[float, float]]
"""(seconds since the epoch, value), in the order of arrival."""


class Readings:
    """The points of each metric, by namespace, name and dimensions."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str, frozenset[tuple[str, str]]], deque[tuple[float, float]]] = defaultdict(
            lambda: deque(maxlen=MOST_POINTS)
        )
        self._offsets: dict[Path, int] = {}

    def read(self, folder: Path) -> None:
        """Take in the lines that were added to the folder's logs since the last call. Raises OSError."""
        for path in sorted(folder.glob("*.log")):
            for line in self._new_lines(path):
                self.add(line)

    def read_containers(self, groups: Mapping[Path, str], filters: Iterable[Filter], *, at: float) -> None:
        """Take in the lines that were added to containers' logs. Raises OSError.

        `groups`: the log group of each log. `at`: seconds since the epoch, of all of these lines.
        """
        by_group: dict[str, list[Filter]] = defaultdict(list)
        for each in filters:
            by_group[each.group].append(each)
        for path, group in groups.items():
            if not path.exists():
                continue
            lines = self._new_lines(path)
            for each in by_group[group]:
                points = self._points[each.namespace, each.metric, frozenset()]
                points.extend((at, value) for value in each.values(lines))

    def _new_lines(self, path: Path) -> list[str]:
        lines = []
        with path.open("rb") as log:
            log.seek(self._offsets.get(path, 0))
            for line in log:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._offsets[path] = self._offsets.get(path, 0) + len(line)
                lines.append(line.decode(errors="replace"))
        return lines

    def add(self, line: str) -> None:
        """Take in a line; one without metrics is passed over."""
        if MARK not in line:
            return
        try:
            record: dict[str, Any] = json.loads(line)
            at = record["_aws"]["Timestamp"] / 1000
            for each in record["_aws"]["CloudWatchMetrics"]:
                for names in each["Dimensions"]:
                    dimensions = frozenset((name, str(record[name])) for name in names)
                    for metric in each["Metrics"]:
                        values = record[metric["Name"]]
                        points = self._points[each["Namespace"], metric["Name"], dimensions]
                        points.extend(
                            (at, float(value)) for value in (values if isinstance(values, list) else [values])
                        )
        except (ValueError, KeyError, TypeError):
            return

    def of(self, alarm: Mapping[str, Any]) -> Points:
        """Return the points of the metric that an alarm, as DescribeAlarms returns it, reads."""
        dimensions = frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"])
        return tuple(self._points.get((alarm["Namespace"], alarm["MetricName"], dimensions), ()))
