"""Draws a page of Airflow's own metrics, as they came to the endpoint of CloudWatch: one file, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from local.aws.otlp.messages import EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM
from local.stack.telemetry import Series, Telemetry

PREFIX = "airflow."
# Heading -> how the names of its metrics begin, without the prefix. The last takes the rest.
GROUPS = (
    ("Tasks", ("ti", "task", "operator_")),
    ("DAG runs", ("dagrun",)),
    ("Scheduler and executor", ("scheduler", "executor", "pool", "asset")),
    ("DAG files", ("dag",)),
    ("Triggers", ("trigger",)),
    ("Others", ("",)),
)
SPARK_WIDTH, SPARK_HEIGHT = 170, 26
TRACE_WIDTH, BAR_HEIGHT, MOST_BARS = 760, 5, 150
DECISION = "autoscaler."  # how the names of spans begin that agent.web.late_tasks adds
HISTOGRAMS = (HISTOGRAM, EXPONENTIAL_HISTOGRAM)
STYLE = """
:root { color-scheme: light dark; background: Canvas; --line: light-dark(#d0d7de, #3d444d);
  --dim: light-dark(#59636e, #a5adb7); --ink: light-dark(#4e79a7, #6f9bca);
  --bad: light-dark(#c0392b, #f0665a); --mark: light-dark(#c2610c, #f28e2b) }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin: 1.8rem 0 .3rem }
p { color: var(--dim); margin: .2rem 0 }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th:nth-child(1) { width: 34% } th:nth-child(2) { width: 20% }
th:nth-child(3) { width: 11% } th:nth-child(4) { width: 17% }
th { text-align: left; color: var(--dim); font-weight: 500 }
td, th { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line) }
td.name { font-family: ui-monospace, monospace; font-size: 12.5px } td.source { color: var(--dim) }
td.value { text-align: right; padding-right: 1rem; white-space: nowrap; font-variant-numeric: tabular-nums }
svg { display: block; max-width: 100% } polyline { fill: none; stroke: var(--ink); stroke-width: 1.5 }
.run { fill: var(--ink) } .bad { fill: var(--bad) } .mark { stroke: var(--mark); stroke-width: 2 }
"""


def render(telemetry: Telemetry, *, title: str) -> str:
    """Return the page."""
    parts = [_group(heading, found) for heading, found in _grouped(telemetry.series) if found]
    sent = sum(telemetry.requests.values())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>Airflow's metrics</h1><p>{escape(title)}</p>"
        f"<p>{len(telemetry.series)} series and {len(telemetry.spans)} spans in {sent} requests, each signed with the "
        "role of the service airflow. A duration shows how many were measured, and their mean.</p>"
        f"{''.join(parts)}{_trace(telemetry.spans)}</body></html>\n"
    )


def _grouped(series: Iterable[Series]) -> list[tuple[str, list[Series]]]:
    groups: dict[str, list[Series]] = {heading: [] for heading, _ in GROUPS}
    for each in sorted(series, key=lambda s: (s.name, str(s.labels), str(s.source))):
        name = each.name.removeprefix(PREFIX)
        groups[next(heading for heading, begins in GROUPS if name.startswith(begins))].append(each)
    return list(groups.items())


def _group(heading: str, series: Sequence[Series]) -> str:
    rows = "".join(map(_row, series))
    head = "<tr><th>metric</th><th>labels</th><th>from</th><th></th><th></th></tr>"
    return f"<h2>{escape(heading)}</h2><table>{head}{rows}</table>"


def _row(series: Series) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(series.labels.items()))
    source = str(series.source.get("service.name", ""))
    drawn = [float(p[2] or 0) if series.kind in HISTOGRAMS else p[1] for p in series.points]
    return (
        f'<tr><td class="name">{escape(series.name)}</td><td>{escape(labels)}</td>'
        f'<td class="source">{escape(source)}</td><td class="value">{escape(_value(series))}</td>'
        f"<td>{sparkline(drawn)}</td></tr>"
    )


def _value(series: Series) -> str:
    _, value, count = series.last
    if series.kind in HISTOGRAMS:
        return f"{count}, mean {value / count:,.0f} {series.unit}" if count else "0"
    text = f"{value:,.2f}".rstrip("0").rstrip(".")
    return text if series.kind == GAUGE else f"{text} in all"


def sparkline(values: Sequence[float]) -> str:
    """Return a line through the values as SVG; the lowest and the highest fill its height."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span, step = (high - low) or 1.0, SPARK_WIDTH / (len(values) - 1)
    height = SPARK_HEIGHT - 4
    at = " ".join(f"{i * step:.1f},{2 + height - (v - low) / span * height:.1f}" for i, v in enumerate(values))
    # The figure beside it says the value.
    return f'<svg width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" aria-hidden="true"><polyline points="{at}"/></svg>'


def _trace(spans: Sequence[Mapping[str, Any]]) -> str:
    """Draw the longest trace: each span a bar, in the order in which they begin; nothing without spans."""
    runs = [span for span in spans if not span["parent"]]
    if not runs:
        return ""
    run = max(runs, key=lambda span: float(span["end"]) - float(span["start"]))
    of_run = sorted((s for s in spans if s["trace"] == run["trace"]), key=lambda s: (s["start"], s["end"]))
    decisions = [span for span in of_run if span["name"].startswith(DECISION)]
    members = [span for span in of_run if span not in decisions]
    shown, began = members[:MOST_BARS], min(s["start"] for s in members)
    scale = TRACE_WIDTH / max(max(s["end"] for s in members) - began, 0.001)
    bars = "".join(_bar(span, index, began=began, scale=scale) for index, span in enumerate(shown))
    height = BAR_HEIGHT * len(shown) + 4
    at = datetime.fromtimestamp(began, UTC).strftime("%H:%M:%S")
    rest = f", the first {MOST_BARS} of them" if len(members) > MOST_BARS else ""
    return (
        f"<h2>One DAG run as a trace</h2><p>{escape(str(run['name']))}: {len(members)} spans{rest}, from {at} UTC, "
        f"{run['end'] - run['start']:.1f} s. Each bar is a task, from being queued to its end; a red one failed. "
        "Lines are what the autoscaler decided while tasks waited.</p>"
        f'<svg width="{TRACE_WIDTH}" height="{height}" role="img" aria-label="spans of the run">{bars}'
        f"{''.join(_mark(d, began=began, scale=scale, height=height) for d in decisions)}</svg>"
        f"<ul>{''.join(_reason(d, began=began) for d in decisions)}</ul>"
    )


def _mark(span: Mapping[str, Any], *, began: float, scale: float, height: int) -> str:
    x = f"{(span['start'] - began) * scale:.1f}"
    title = f"<title>{escape(str(span['name']))}</title>"
    return f'<line class="mark" x1="{x}" x2="{x}" y1="0" y2="{height}">{title}</line>'


def _reason(span: Mapping[str, Any], *, began: float) -> str:
    said = f"{span['start'] - began:.1f} s: {span['name']}: {span['attributes'].get('fleet.reason', '')}"
    return f"<li>{escape(said)}</li>"


def _bar(span: Mapping[str, Any], index: int, *, began: float, scale: float) -> str:
    x, width = (span["start"] - began) * scale, max((span["end"] - span["start"]) * scale, 1.0)
    kind = "bad" if span["is_error"] else "run"
    label = f"{span['name']}: {span['end'] - span['start']:.1f} s"
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{BAR_HEIGHT * index}" width="{width:.1f}" height="{BAR_HEIGHT - 1}">'
        f"<title>{escape(label)}</title></rect>"
    )
