"""The burst's progress on a terminal and on a line, and its course as a picture."""

import io

import pytest
from rich.console import Console

from local.scenarios.demo.charts import BurstProgress
from local.scenarios.demo.samples import Sample

SAMPLE = Sample(t=1.0, waiting=40, backlog=24, active=16, desired=3, running=2, pending=1, consuming=1, draining=1)
PROGRESS = BurstProgress(
    states={"success": 30, "running": 16}, total=120, history=[SAMPLE], events=["worker: task 1 started"], max_workers=4
)


def test_the_line_has_the_figures() -> None:
    assert PROGRESS.line() == "waiting  40  running 16  succeeded  30/120  workers 2 (desired 3, draining 1)"


def test_the_line_is_empty_before_the_first_sample() -> None:
    assert BurstProgress(states={}, total=120, history=[], events=[], max_workers=4).line() == ""


@pytest.mark.parametrize("width", [30, 60, 100, 200])
def test_the_panel_has_the_same_height_and_fits_at_every_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    lines = console.render_lines(PROGRESS.panel(width=width))
    assert len(lines) == 10
    text = "\n".join("".join(segment.text for segment in line) for line in lines)
    assert "30 / 120" in text
    assert "2 of 4" in text
