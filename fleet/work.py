"""What the forecaster reports of Airflow's own work, and the limits beyond which people hear of it.

Counts are over a window that ends with the report, so a report that is lost takes no failure with it while the window
is longer than the gap. What could not be read has no report: it is never zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from fleet.validation import is_count, is_list_of_text, is_name, is_text, is_time, loads

WORK_TTL_S = 90  # the forecaster reports several times in it
MOST_NAMED = 20  # of each list: the counts include all
LONGEST_NAME = 250  # characters, as Airflow's ids have at most
MOST_MISSED = 10  # intervals that are looked back to

# The metrics that the version check makes of a report, and that alarms and dashboards read.
WORK_REPORTS = "WorkReports"
TASK_FAILURES = "TaskFailures"
RUN_FAILURES = "RunFailures"
RUN_SUCCESSES = "RunSuccesses"
LATE_DAGS = "LateDags"
IMPORT_ERRORS = "ImportErrors"
SCHEDULING_DELAY = "SchedulingDelay"
PARSE_TIME = "ParseTime"
PARSE_AGE = "ParseAge"
TRIGGERER_LOAD = "TriggererLoad"
SILENT_COMPONENTS = "SilentComponents"

# The limits as the template's parameter has them, in this order, and their defaults.
DEFAULT_LIMITS = "WindowMinutes=15,TaskFailures=10,RunFailures=0,MissedIntervals=2,DelaySeconds=120,ParseSeconds=20"
LIMITS = "WORK_LIMITS"  # the variable that both readers get
_PATTERNS = ("[1-9][0-9]{0,2}", "[0-9]{1,6}", "[0-9]{1,6}", "(?:10|[0-9])", "[0-9]{1,5}", "[0-9]{1,4}")
LIMIT_NAMES = tuple(part.partition("=")[0] for part in DEFAULT_LIMITS.split(","))
LIMITS_PATTERN = ",".join(f"{name}={pattern}" for name, pattern in zip(LIMIT_NAMES, _PATTERNS, strict=True))


@dataclass(frozen=True, kw_only=True)
class WorkLimits:
    """An alarm begins above each. `missed_intervals` holds for DAGs without a tag of their own; 0 for no alarm."""

    window_minutes: int
    task_failures: int
    run_failures: int
    missed_intervals: int
    delay_s: int
    parse_s: int


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """A run that failed at `at`, in seconds since the epoch, with its first failed task; an empty one for none."""

    dag: str
    run: str
    task: str
    at: float


@dataclass(frozen=True, kw_only=True)
class LateDag:
    """A DAG without a success in its last `missed` intervals, of which `expected` are too many."""

    dag: str
    missed: int
    expected: int


@dataclass(frozen=True, kw_only=True)
class BrokenFile:
    """A DAG file that does not import, with the name of the exception; an empty one where Airflow has none."""

    bundle: str
    file: str
    error: str


@dataclass(frozen=True, kw_only=True)
class SlowFile:
    """The DAG file that took longest to parse."""

    bundle: str
    file: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ParsedBundle:
    """A bundle with DAGs, and the seconds since one of its files was parsed last."""

    name: str
    age_s: float


@dataclass(frozen=True, kw_only=True)
class WorkReport:
    """One reading of Airflow's database. `at`: seconds since the epoch; lists have the first MOST_NAMED entries.

    `task_failures`, `run_failures`, `run_successes`: what ended within `window_s`. `delay_s`: for how long the most
    delayed run has waited for the scheduler. `triggers` of the `capacity` that running triggerers have. `silent`: the
    components without a heartbeat, and the bundles that are not parsed.
    """

    at: float
    window_s: float
    task_failures: int
    run_failures: int
    run_successes: int
    failed_runs: tuple[FailedRun, ...]
    late: int
    late_dags: tuple[LateDag, ...]
    import_errors: int
    broken_files: tuple[BrokenFile, ...]
    delay_s: float
    slowest: tuple[SlowFile, ...]  # one, or none where there is no file
    bundles: tuple[ParsedBundle, ...]
    triggers: int
    capacity: int
    silent: tuple[str, ...]

    @property
    def triggerer_load(self) -> float | None:
        """Percent of the triggerers' capacity; None while none runs, which `silent` says."""
        return 100 * self.triggers / self.capacity if self.capacity else None

    @property
    def parse_s(self) -> float:
        """Seconds that the slowest file took."""
        return max((each.seconds for each in self.slowest), default=0.0)

    @property
    def oldest_parse_s(self) -> float:
        """Seconds since the last parse of the bundle that was parsed longest ago."""
        return max((each.age_s for each in self.bundles), default=0.0)


def parse_limits(text: str) -> WorkLimits:
    """Return the limits of a text like DEFAULT_LIMITS. Raises ValueError for any other."""
    if re.fullmatch(LIMITS_PATTERN, text) is None:
        raise ValueError(f"{text[:LONGEST_NAME]!r} is not like {DEFAULT_LIMITS}")
    numbers = [int(part.partition("=")[2]) for part in text.split(",")]
    return WorkLimits(**dict(zip((field.name for field in fields(WorkLimits)), numbers, strict=True)))


def shown(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Return the text as a report may have it: of bounded length and in one line."""
    return "".join(each if each.isprintable() else "?" for each in text[:longest])


def to_json(report: WorkReport) -> str:
    return json.dumps(asdict(report), separators=(",", ":"))


def parse_work(raw: bytes | str | None) -> WorkReport | None:
    """Return what was reported; None if nothing was, or not lately. Raises ValueError for anything else."""
    if raw is None:
        return None
    record = loads(raw)
    if not isinstance(record, dict):
        raise ValueError("the report on the work is no object")
    return WorkReport(**_checked(record, WorkReport, _FIELDS))


def _checked(record: Any, kind: Callable[..., Any], known: dict[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """Return the record's fields, lists of records as tuples. Raises ValueError, which names the field."""
    values = {}
    for name, is_valid in known.items():
        value = record.get(name) if isinstance(record, dict) else None
        if not is_valid(value):
            raise ValueError(f"the report on the work has a malformed {name} of {getattr(kind, '__name__', kind)}")
        values[name] = tuple(value) if isinstance(value, list) else value
    for name, (entry, of_entry) in _LISTS.items() if kind is WorkReport else ():
        entries = record.get(name)
        if not isinstance(entries, list) or len(entries) > MOST_NAMED:
            raise ValueError(f"the report on the work has no short list {name}")
        values[name] = tuple(entry(**_checked(each, entry, of_entry)) for each in entries)
    return values


def _is_short(value: Any) -> bool:
    return is_text(value) and len(value) <= LONGEST_NAME and value.isprintable()


def _is_short_name(value: Any) -> bool:
    return is_name(value) and _is_short(value)


def _are_short(value: Any) -> bool:
    return is_list_of_text(value) and len(value) <= MOST_NAMED and all(map(_is_short_name, value))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("at", "window_s", "delay_s"), is_time),
    **dict.fromkeys(("task_failures", "run_failures", "run_successes", "late", "import_errors"), is_count),
    **dict.fromkeys(("triggers", "capacity"), is_count),
    "silent": _are_short,
}
_LISTS: dict[str, tuple[Callable[..., Any], dict[str, Callable[[Any], bool]]]] = {
    "failed_runs": (FailedRun, {"dag": _is_short_name, "run": _is_short_name, "task": _is_short, "at": is_time}),
    "late_dags": (LateDag, {"dag": _is_short_name, "missed": is_count, "expected": is_count}),
    "broken_files": (BrokenFile, {"bundle": _is_short, "file": _is_short_name, "error": _is_short}),
    "slowest": (SlowFile, {"bundle": _is_short, "file": _is_short_name, "seconds": is_time}),
    "bundles": (ParsedBundle, {"name": _is_short_name, "age_s": is_time}),
}
