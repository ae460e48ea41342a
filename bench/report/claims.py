"""Checks the claims about the autoscaler against the simulated results; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.policies.catalog import OURS, OURS_FORECAST
from bench.policies.experiment import Result
from bench.report.scenarios import FIFTH_UNKNOWN, WITHHELD
from bench.report.suite import Comparison, Suite
from bench.report.tables import Verdict

# Without a forecast: worker-hours and 95 % quantile of waits in % of MWAA today, of each load and of their mean.
EACH_PERCENT = (97.0, 85.0)
MEAN_PERCENT = (85.0, 72.0)
CRON_HOURS_PERCENT = {16: 57.0}  # of loads with a schedule, without the forecast, by slots a worker
# Loads with a known schedule. By slots a worker: worker-hours in % of MWAA today, 95 % quantile of waits in seconds.
SCHEDULED = {4: (85.0, 7.0), 16: (62.0, 4.0)}
FIFTH_UNKNOWN_WAIT_S = 15.0
SECONDS_A_100K_TASKS = 10.0
PERCENT = 100.0


def claims(suite: Suite) -> list[Verdict]:
    return [*_of_tasks(suite), *_of_loads(suite), *_of_schedules(suite), *_of_speed(suite)]


def _of_tasks(suite: Suite) -> Iterator[Verdict]:
    mine = [
        (each, result) for each in suite.everywhere for result in each.results if result.policy in (OURS, OURS_FORECAST)
    ]
    yield Verdict(what="tasks killed, in all comparisons", measured=sum(result.killed for _, result in mine), limit=0)
    left = sum(each.tasks - result.completed for each, result in mine)
    yield Verdict(what="tasks not completed, in all comparisons", measured=left, limit=0)


def _of_loads(suite: Suite) -> Iterator[Verdict]:
    found = []
    for each in suite.comparisons:
        hours, wait = EACH_PERCENT
        if each.has_schedule:
            hours = CRON_HOURS_PERCENT.get(each.slots, hours)
        verdicts = _against(each.of(OURS), each.base, whose=_in_words(each, OURS), hours=hours, wait=wait)
        found.append([verdict.measured for verdict in verdicts])
        yield from verdicts
    for what, measured, limit in zip(
        ("worker-hours", "wait p95"), zip(*found, strict=True), MEAN_PERCENT, strict=False
    ):
        mean = sum(measured) / len(measured)
        yield Verdict(what=f"{OURS}, mean of all loads: {what}", measured=mean, limit=limit, unit="%")


def _of_schedules(suite: Suite) -> Iterator[Verdict]:
    for each in suite.comparisons:
        if not each.has_schedule or each.slots not in SCHEDULED:
            continue
        hours, wait_s = SCHEDULED[each.slots]
        result, whose = each.of(OURS_FORECAST), _in_words(each, OURS_FORECAST)
        yield _percent(result.worker_hours, each.base.worker_hours, what=f"{whose}: worker-hours", limit=hours)
        yield Verdict(what=f"{whose}: wait p95", measured=result.wait_p95, limit=wait_s, unit="s")
    for scenario in suite.scenarios:
        each = scenario.comparison
        result = each.of(OURS_FORECAST)
        if scenario.name == FIFTH_UNKNOWN:
            what = f"{OURS_FORECAST}, {scenario.name}: wait p95"
            yield Verdict(what=what, measured=result.wait_p95, limit=FIFTH_UNKNOWN_WAIT_S, unit="s")
        if scenario.name == WITHHELD:
            whose = f"{OURS_FORECAST}, {scenario.name}, against {OURS}"
            yield from _against(result, each.of(OURS), whose=whose, hours=PERCENT, wait=PERCENT)


def _of_speed(suite: Suite) -> Iterator[Verdict]:
    rates = {
        f"{result.policy}, {each.load}, {each.slots} slots": PERCENT * 1000 * min(result.cpu_s) / each.tasks
        for each in suite.comparisons
        for result in each.results
    }
    slowest = max(rates, key=rates.__getitem__)
    what = f"processor time for 100,000 tasks, slowest ({slowest})"
    yield Verdict(what=what, measured=rates[slowest], limit=SECONDS_A_100K_TASKS, unit="s")


def _against(result: Result, base: Result, *, whose: str, hours: float, wait: float) -> Sequence[Verdict]:
    return (
        _percent(result.worker_hours, base.worker_hours, what=f"{whose}: worker-hours", limit=hours),
        _percent(result.wait_p95, base.wait_p95, what=f"{whose}: wait p95", limit=wait),
    )


def _percent(value: float, of: float, *, what: str, limit: float) -> Verdict:
    """Return the verdict on `value` in % of `of`; 0 of 0 is 0 %."""
    share = PERCENT * (value / of if of else bool(value))
    return Verdict(what=what, measured=share, limit=limit, unit="%")


def _in_words(comparison: Comparison, policy: str) -> str:
    mark = " (never used for tuning)" if comparison.held_out else ""
    return f"{policy}, {comparison.load}{mark}, {comparison.slots} slots"
