"""Draws cost against wait. The same figures give byte-identical files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.policies.candidates import frontier
from bench.policies.catalog import FASTER_MWAA, MWAA_2023, MWAA_TODAY, OURS, OURS_FORECAST
from bench.policies.experiment import Result
from bench.report.suite import Comparison, ScenarioResult

# Okabe's and Ito's colours, which are distinct with any colour vision. Each policy has a marker of its own as well.
VERMILION, BLUE, SKY, GREEN, ORANGE, PURPLE, YELLOW, BLACK = (
    "#D55E00",
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#F0E442",
    "#000000",
)
MARKERS = {
    OURS: (VERMILION, "o"),
    OURS_FORECAST: (VERMILION, "*"),
    MWAA_TODAY: (BLUE, "s"),
    FASTER_MWAA: (SKY, "s"),
    MWAA_2023: (PURPLE, "D"),
    "keda": (GREEN, "^"),
    "target-tracking": (ORANGE, "v"),
    "celery-ecs-autoscaler": (YELLOW, "P"),
    "static-peak": (BLACK, "X"),
}
OTHERS = (BLACK, ".")
DPI = 110
LEAST_WAIT_S = 0.5  # the lower end of the logarithmic axis: shorter waits do not matter
PANEL_IN = (4.0, 3.3)


def draw_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw worker-hours over LB1 against the 95 % quantile of waits: a row a load, a column a concurrency."""
    loads = list(dict.fromkeys(each.load for each in comparisons))
    slots = list(dict.fromkeys(each.slots for each in comparisons))
    plt = _pyplot()
    figure, grid = plt.subplots(
        len(loads),
        len(slots),
        figsize=(PANEL_IN[0] * len(slots), PANEL_IN[1] * len(loads) + 0.6),
        layout="constrained",
        squeeze=False,
        sharey="row",
    )
    for each in comparisons:
        axes = grid[loads.index(each.load)][slots.index(each.slots)]
        for result in each.results:
            colour, marker = MARKERS.get(result.policy, OTHERS)
            axes.scatter(
                result.worker_hours / result.clairvoyant_hours,
                max(LEAST_WAIT_S, result.wait_p95),
                color=colour,
                marker=marker,
                s=130 if marker == "*" else 60,
                # A policy that kills tasks is hollow: its cost includes lost work.
                facecolors="none" if result.killed else colour,
                edgecolors=colour if result.killed else BLACK,
                linewidths=1.5 if result.killed else 0.5,
                label=result.policy,
                zorder=3,
            )
        axes.set_title(f"{each.load}, {each.slots} slots a worker", loc="left", fontsize=9)
        _dress(axes)
    for axes in grid[-1]:
        axes.set_xlabel("worker-hours / lower bound LB1")
    for row in grid:
        row[0].set_ylabel("wait, 95 % quantile (s)")
    _legend(figure, grid)
    _save(figure, path)


def draw_scenarios(scenarios: Sequence[ScenarioResult], path: Path) -> None:
    """Draw a line for each scenario: the waits of each policy and their cost."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(11, 0.42 * len(scenarios) + 1.4), layout="constrained", sharey=True)
    names = [scenario.name for scenario in scenarios]
    for place, scenario in enumerate(scenarios):
        for result in scenario.comparison.results:
            colour, marker = MARKERS.get(result.policy, OTHERS)
            style = {"color": colour, "marker": marker, "s": 110 if marker == "*" else 45, "zorder": 3}
            panels[0].scatter(max(LEAST_WAIT_S, result.wait_p95), place, label=result.policy, **style)
            panels[1].scatter(result.worker_hours / scenario.comparison.base.worker_hours * 100, place, **style)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[0].set_xscale("log")
    panels[0].set_xlabel("wait, 95 % quantile (s)")
    panels[1].set_xlabel("worker-hours, % of MWAA today in the same scenario")
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _plain_ticks(panels[0].xaxis)
    _legend(figure, [panels])
    _save(figure, path)


def draw_candidates(results: Sequence[Result], *, base: Result, best: Result, wait_s: float, path: Path) -> None:
    """Draw cost against wait of the settings; join those that no other beats, mark the recommended one."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    joined = frontier(results)
    axes.plot(
        [result.worker_hours for result in joined],
        [result.wait_p95 for result in joined],
        color=SKY,
        linewidth=1,
        zorder=1,
        label="no setting is both cheaper and faster",
    )
    hours, waits = [result.worker_hours for result in results], [result.wait_p95 for result in results]
    axes.scatter(hours, waits, color=BLUE, marker="o", s=36, zorder=3, label="settings of this autoscaler")
    axes.scatter([base.worker_hours], [base.wait_p95], color=BLACK, marker="s", s=50, zorder=3, label=base.policy)
    axes.scatter(
        [best.worker_hours],
        [best.wait_p95],
        color=VERMILION,
        marker="*",
        s=220,
        zorder=4,
        label=f"recommended: {best.policy}",
    )
    axes.axhline(wait_s, color=BLACK, linestyle=":", linewidth=1, label=f"wait limit: {wait_s:g} s")
    axes.set_xlabel("worker-hours")
    axes.set_ylabel("wait, 95 % quantile (s)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=1, frameon=False, fontsize=9)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _dress(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _plain_ticks(axes.xaxis)
    _plain_ticks(axes.yaxis)


def _plain_ticks(axis: Any) -> None:
    """Label the axis with 1, 2, 5, 10, ... instead of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Any, grid: Any) -> None:
    found: dict[str, Any] = {}
    for axes in (axes for row in grid for axes in row):
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside upper left", ncols=5, frameon=False, fontsize=9)


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the drawing library's version, the file depends on the figures alone.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
