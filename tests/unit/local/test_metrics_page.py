"""The page of Airflow's metrics that `make demo` ends with."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from local.aws.otlp.messages import EXPONENTIAL_HISTOGRAM, GAUGE, SUM
from local.scenarios.demo.metrics_page import render, sparkline
from local.stack.telemetry import Series, Telemetry


def series(name: str, kind: str, *points: tuple[float, float, int | None], **labels: str) -> Series:
    source = {"service.name": "scheduler"}
    return Series(name=name, kind=kind, unit="ms", source=source, labels=labels, points=points)


def span(name: str, *, start: float, end: float, parent: str = "p", trace: str = "t", **more: Any) -> dict[str, Any]:
    return {"name": name, "start": start, "end": end, "parent": parent, "trace": trace, "is_error": False, **more}


class Cells(HTMLParser):
    """Collects the texts of cells and headings, and fails on a tag that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - Python's signature
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_each_kind_says_what_it_measured() -> None:
    telemetry = Telemetry(
        series=[
            series("airflow.ti.finish", SUM, (1, 3, None), (2, 1200, None), state="success"),
            series("airflow.task.duration", EXPONENTIAL_HISTOGRAM, (1, 60.0, 3)),
            series("airflow.executor.running_tasks", GAUGE, (1, 2.50, None)),
            series("airflow.something_new", GAUGE, (1, 0.0, None)),
        ],
        spans=[],
        requests={"/v1/metrics": 4},
    )
    said = Cells(render(telemetry, title="t")).texts
    for text in ("1,200 in all", "state=success", "3, mean 20 ms", "2.5", "scheduler", "Tasks", "Others"):
        assert text in said
    assert "DAG runs" not in said  # a group without metrics
    assert telemetry.total("airflow.ti.finish", state="success") == 1200
    assert telemetry.total("airflow.ti.finish", state="failed") == 0


def test_names_and_labels_are_text_and_no_markup() -> None:
    telemetry = Telemetry(
        series=[series("airflow.<script>", GAUGE, (1, 1.0, None), dag_id="</td><img>")],
        spans=[span("dag_run.<b>", start=0.0, end=1.0, parent="")],
        requests={},
    )
    said = Cells(render(telemetry, title="<i>")).texts
    assert {"airflow.<script>", "dag_id=</td><img>", "<i>"} <= set(said)


def test_the_longest_run_is_drawn_with_its_tasks() -> None:
    spans = [
        span("dag_run.short", start=0.0, end=1.0, parent="", trace="a"),
        span("dag_run.long", start=10.0, end=20.0, parent=""),
        span("task_run.ok", start=10.0, end=15.0),
        span("task_run.bad", start=12.0, end=15.0, is_error=True),
        span("autoscaler.worker: 1 -> 4", start=11.0, end=11.0, attributes={"fleet.reason": "6 tasks need 4 workers"}),
        span("task_run.other", start=0.0, end=1.0, trace="a"),
    ]
    page = render(Telemetry(series=[], spans=spans, requests={}), title="t")
    assert "dag_run.long: 3 spans" in page
    assert page.count("<rect") == 3
    assert page.count('class="bad"') == 1
    assert "task_run.other" not in page
    assert page.count("<line") == 1
    assert "1.0 s: autoscaler.worker: 1 -&gt; 4: 6 tasks need 4 workers" in page


@pytest.mark.parametrize("values", [[], [1.0]])
def test_one_value_is_no_line(values: list[float]) -> None:
    assert sparkline(values) == ""


def test_a_line_that_does_not_change_is_level() -> None:
    assert 'points="0.0,24.0 170.0,24.0"' in sparkline([5.0, 5.0])
