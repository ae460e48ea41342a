"""Tables of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.policies.candidates import frontier
from bench.policies.experiment import Result
from bench.report.suite import Comparison, ScenarioResult
from bench.report.tables import TextTable

FIRST_FIT = "(first fit, no waits)"
HEAD = (
    "policy",
    "worker-hours",
    "% of MWAA",
    "/ LB1",
    "boots",
    "unready",
    "late",
    "GB pulled",
    "USD by NAT",
    "wait mean",
    "p50",
    "p95",
    "% of MWAA",
    "p99",
    "> 60 s",
    "> 600 s",
    "delay p95",
    "killed",
    "redone h",
    "completed",
)
REPLAY_HEAD = ("setting", "hours", "% MWAA", "boots", "wait p95", "% MWAA", "p99", "> 60 s")  # within 80 columns
FRONT_HEAD = ("setting", "worker-hours", "% of MWAA", "boots", "GB pulled", "wait p95", "% of MWAA")
SCENARIO_HEAD = (
    "policy",
    "worker-hours",
    "% of MWAA",
    "wait p95",
    "p99",
    "> 60 s",
    "killed",
    "completed",
)


def policy_table(title: str, results: Sequence[Result], *, base: Result) -> TextTable:
    """Return a row for each result and one for the reference. Percentages are of `base`; waits are in seconds."""
    rows = [_row(result, base) for result in results]
    over_bound = f"{base.first_fit_hours / base.clairvoyant_hours:.2f}"
    first_fit = _first_fit_row((*_first_fit_costs(base), over_bound), HEAD)
    return TextTable(title=title, columns=HEAD, rows=(*rows, first_fit))


def replay_table(title: str, results: Sequence[Result], *, base: Result, labels: Mapping[str, str]) -> TextTable:
    """Return a row for each result, with what an operator chooses by. Percentages are of `base`; waits are in seconds.

    `labels`: what stands for the names of policies that are too long for a terminal.
    """
    rows = []
    for result in results:
        figures = result.to_record()
        rows.append(
            (
                labels.get(result.policy, result.policy),
                f"{result.worker_hours:,.0f}",
                _percent(result.worker_hours, base.worker_hours),
                f"{figures['boots']:,.0f}",
                f"{figures['wait_p95']:.1f}",
                _percent(result.wait_p95, base.wait_p95),
                f"{figures['wait_p99']:.0f}",
                f"{figures['long_waits']:.1%}",
            )
        )
    first_fit = _first_fit_row(_first_fit_costs(base), REPLAY_HEAD)
    return TextTable(title=title, columns=REPLAY_HEAD, rows=(*rows, first_fit))


def front_table(comparison: Comparison) -> TextTable:
    """Return a row for each setting, the cheapest first; those that no other beats in cost and wait are marked."""
    base = comparison.base
    best = frontier(comparison.results)
    rows = tuple(
        (
            f"{result.policy} *" if result in best else result.policy,
            f"{result.worker_hours:,.0f}",
            _percent(result.worker_hours, base.worker_hours),
            f"{result.to_record()['boots']:,.0f}",
            f"{result.pulled_gb:,.0f}",
            f"{result.wait_p95:.1f}",
            _percent(result.wait_p95, base.wait_p95),
        )
        for result in sorted(comparison.results, key=lambda result: result.worker_hours)
    )
    return TextTable(title=f"Settings: {comparison.title}", columns=FRONT_HEAD, rows=rows)


def scenario_table(title: str, scenarios: Sequence[ScenarioResult], *, with_reference: bool = False) -> TextTable:
    """Return a row for each policy in each scenario. Percentages are of MWAA today in the same scenario.

    `with_reference` adds a row for the reference, where the scenarios have other loads.
    """
    rows: list[tuple[str, ...]] = []
    for scenario in scenarios:
        base = scenario.comparison.base
        for result in scenario.comparison.results:
            figures = result.to_record()
            first = result is scenario.comparison.results[0]
            rows.append(
                (
                    scenario.name if first else "",
                    result.policy,
                    f"{result.worker_hours:,.0f}",
                    _percent(result.worker_hours, base.worker_hours),
                    f"{result.wait_p95:.1f}",
                    f"{figures['wait_p99']:.0f}",
                    f"{figures['long_waits']:.1%}",
                    f"{figures['killed']:,.0f}",
                    f"{figures['completed']:,.0f}",
                )
            )
        if with_reference:
            rows.append(("", *_first_fit_row(_first_fit_costs(base), SCENARIO_HEAD)))
    return TextTable(title=title, columns=(title.lower(), *SCENARIO_HEAD), rows=tuple(rows))


def _row(result: Result, base: Result) -> tuple[str, ...]:
    figures = result.to_record()
    return (
        result.policy,
        f"{result.worker_hours:,.0f}",
        _percent(result.worker_hours, base.worker_hours),
        f"{result.worker_hours / result.clairvoyant_hours:.2f}",
        f"{figures['boots']:,.0f}",
        f"{figures['unready_boots']:,.0f}",
        f"{figures['late_launches']:,.0f}",
        f"{figures['pulled_gb']:,.0f}",
        f"{figures['pulled_by_nat_usd']:,.0f}",
        f"{figures['wait_mean']:.1f}",
        f"{figures['wait_p50']:.1f}",
        f"{figures['wait_p95']:.1f}",
        _percent(result.wait_p95, base.wait_p95),
        f"{figures['wait_p99']:.0f}",
        f"{figures['long_waits']:.1%}",
        f"{figures['too_long']:,.0f}",
        f"{figures['delay_p95']:,.1f}",
        f"{figures['killed']:,.0f}",
        f"{figures['redone_hours']:,.0f}",
        f"{figures['completed']:,.0f}",
    )


def _first_fit_costs(base: Result) -> tuple[str, ...]:
    return (f"{base.first_fit_hours:,.0f}", _percent(base.first_fit_hours, base.worker_hours))


def _first_fit_row(costs: tuple[str, ...], head: tuple[str, ...]) -> tuple[str, ...]:
    """Return the row of the reference, which has only a cost: its tasks do not wait for boots."""
    return (FIRST_FIT, *costs, *["-"] * (len(head) - len(costs) - 1))


def _percent(value: float, of: float) -> str:
    return f"{100 * value / of:.0f}" if of else "-"
