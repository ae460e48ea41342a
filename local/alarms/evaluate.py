"""Evaluates an alarm over the points of its metric, by CloudWatch's rules, and a composite alarm over other alarms.

CloudWatch reads some periods more than the alarm names, to find points in place of missing ones; this does not.

Pure: alarms (as DescribeAlarms returns them), points and time are arguments.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.alarms.readings import Points
from project.errors import CommandError

OK, ALARM, UNSETTLED = "OK", "ALARM", "INSUFFICIENT_DATA"
MINUTE_S = 60.0
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": statistics.fmean,
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "SampleCount": len,
}
_PART = re.compile(r'ALARM\("([^"]+)"\)')


class UnsupportedAlarm(CommandError):
    """The local stack cannot evaluate an alarm; the message names what it does not know."""


def state_of(alarm: Mapping[str, Any], points: Points, *, now: float, since: float, minute_s: float = MINUTE_S) -> str:
    """Return the alarm's state over its last complete periods.

    `since`: from when on points were collected: before that, none is missing. `minute_s`: the length of a minute of the
    alarm's periods; a test has shorter ones.
    """
    period_s = alarm["Period"] / MINUTE_S * minute_s
    periods = int(alarm["EvaluationPeriods"])
    end = math.floor(now / period_s) * period_s
    begins = [end - (number + 1) * period_s for number in range(periods)]
    by_period: dict[int, list[float]] = {}
    for at, value in points:
        if begins[-1] <= at < end:
            by_period.setdefault(math.ceil((end - at) / period_s) - 1, []).append(value)
    values = [_statistic(alarm, by_period.get(number, ())) for number in range(periods)]
    breaching = [None if value is None else _is_beyond(alarm, value) for value in values]
    treated = _treat_missing(alarm, breaching, begins=begins, since=since)
    if treated is None:
        return str(alarm["StateValue"])
    present = [each for each in treated if each is not None]
    if not present:
        return UNSETTLED
    needed = min(int(alarm.get("DatapointsToAlarm") or periods), len(present))
    return ALARM if sum(present) >= needed else OK


def _statistic(alarm: Mapping[str, Any], values: Sequence[float]) -> float | None:
    if alarm["Statistic"] not in STATISTICS:
        raise UnsupportedAlarm(f"alarm {alarm['AlarmName']}: statistic {alarm['Statistic']} is not supported locally")
    return STATISTICS[alarm["Statistic"]](values) if values else None


def _is_beyond(alarm: Mapping[str, Any], value: float) -> bool:
    if alarm["ComparisonOperator"] not in COMPARISONS:
        name = alarm["ComparisonOperator"]
        raise UnsupportedAlarm(f"alarm {alarm['AlarmName']}: comparison {name} is not supported locally")
    return COMPARISONS[alarm["ComparisonOperator"]](value, float(alarm["Threshold"]))


def _treat_missing(
    alarm: Mapping[str, Any], breaching: Sequence[bool | None], *, begins: Sequence[float], since: float
) -> Sequence[bool | None] | None:
    """Return the periods with missing ones as the alarm treats them; None if the state stays as it is."""
    match alarm.get("TreatMissingData") or "missing":
        case "breaching":
            return [
                each if each is not None or begin < since else True
                for each, begin in zip(breaching, begins, strict=True)
            ]
        case "notBreaching":
            return [bool(each) for each in breaching]
        case "ignore":
            return None if all(each is None for each in breaching) else breaching
        case _:
            return breaching


def composite_state(alarm: Mapping[str, Any], states: Mapping[str, str]) -> str:
    """Return the state of a composite alarm: of its rule, a list of ALARM("name") joined by OR is known."""
    parts = str(alarm["AlarmRule"]).split(" OR ")
    names = [match.group(1) for part in parts if (match := _PART.fullmatch(part.strip()))]
    if len(names) != len(parts):
        raise UnsupportedAlarm(f'alarm {alarm["AlarmName"]}: only ALARM("...") OR ... is supported locally')
    if missing := sorted(set(names) - states.keys()):
        raise UnsupportedAlarm(f"alarm {alarm['AlarmName']} names alarms that do not exist: {', '.join(missing)}")
    return ALARM if any(states[name] == ALARM for name in names) else OK
