"""Shows one moment of the burst: how far its tasks are, and what the workers do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.scenarios.demo.samples import Sample
from local.ui.trend import trend

WIDTH = 100  # columns
BESIDE_TRENDS = 36  # columns that names, figures and the frame take
LAST_EVENTS = 6
# Their names, the samples' fields, and their colours.
TRENDS = (
    ("waiting", "waiting", "medium_purple1"),
    ("backlog", "backlog", "dark_orange"),
    ("running", "active", "steel_blue1"),
)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """`states` counts task instances by Airflow's state; `history` ends with now, `events` with the last one."""

    states: Mapping[str, int]
    total: int
    history: Sequence[Sample]
    events: Sequence[str]
    max_workers: int

    @property
    def succeeded(self) -> int:
        """Tasks that have succeeded."""
        return self.states.get("success", 0)

    def line(self) -> str:
        """It on one line; nothing before there is a sample."""
        if not self.history:
            return ""
        now = self.history[-1]
        fleet = f"workers {now.running} (desired {now.desired}, draining {now.draining})"
        return f"waiting {now.waiting:3d}  running {now.active:2d}  succeeded {self.succeeded:3d}/{self.total}  {fleet}"

    def panel(self, *, width: int) -> Panel:
        """It as a picture, at most `width` columns wide."""
        width = min(width, WIDTH)
        trends = max(1, width - BESIDE_TRENDS)
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column(min_width=9, no_wrap=True)
        table.add_column(no_wrap=True)
        bar = ProgressBar(total=self.total, completed=self.succeeded, width=trends)
        table.add_row("succeeded", f"{self.succeeded} / {self.total}", bar)
        if self.history:
            now = self.history[-1]
            for name, field, style in TRENDS:
                values = [getattr(sample, field) for sample in self.history]
                table.add_row(name, str(values[-1]), trend(values, style, width=trends))
            running = trend([s.running for s in self.history], "green3", width=trends, top=self.max_workers)
            table.add_row("workers", f"{now.running} of {self.max_workers}", running)
            table.add_row("", "", Text(f"desired {now.desired}, consuming {now.consuming}, draining {now.draining}"))
        last = [Text(event, style="dim", overflow="ellipsis", no_wrap=True) for event in self.events[-LAST_EVENTS:]]
        return Panel(Group(table, Text(), *last), title="airflow-on-ecs", title_align="left", width=width)
