"""Draws the burst: its progress on a terminal, its whole course as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.scenarios.demo.samples import Sample
from local.ui.screen import sparkline

WIDTH = 100  # columns
BESIDE_SPARKLINES = 36  # columns that names, figures and the frame take
LAST_EVENTS = 6
# Names, fields of a sample, and colours.
SPARKLINES = (
    ("waiting", "waiting", "medium_purple1"),
    ("backlog", "backlog", "dark_orange"),
    ("running", "active", "steel_blue1"),
)
WAITING, BACKLOG, RUNNING = "#b07aa1", "#f28e2b", "#4e79a7"
DESIRED, WORKERS, CONSUMING = "#222222", "#59a14f", "#4e79a7"


@dataclass(frozen=True, kw_only=True)
class BurstProgress:
    """`states` counts task instances by Airflow's state; the latest of `history` and `events` comes last."""

    states: Mapping[str, int]
    total: int
    history: Sequence[Sample]
    events: Sequence[str]
    max_workers: int

    @property
    def succeeded(self) -> int:
        """The number of tasks that have succeeded."""
        return self.states.get("success", 0)

    def line(self) -> str:
        """Return the progress on one line; nothing before the first sample."""
        if not self.history:
            return ""
        now = self.history[-1]
        fleet = f"workers {now.running} (desired {now.desired}, draining {now.draining})"
        return f"waiting {now.waiting:3d}  running {now.active:2d}  succeeded {self.succeeded:3d}/{self.total}  {fleet}"

    def panel(self, *, width: int) -> Panel:
        """Return the progress as a panel, at most `width` columns wide."""
        width = min(width, WIDTH)
        room = max(1, width - BESIDE_SPARKLINES)
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column(min_width=9, no_wrap=True)
        table.add_column(no_wrap=True)
        bar = ProgressBar(total=self.total, completed=self.succeeded, width=room)
        table.add_row("succeeded", f"{self.succeeded} / {self.total}", bar)
        if self.history:
            now = self.history[-1]
            for name, field, style in SPARKLINES:
                values = [getattr(sample, field) for sample in self.history]
                table.add_row(name, str(values[-1]), sparkline(values, style, width=room))
            running = sparkline([s.running for s in self.history], "green3", width=room, top=self.max_workers)
            table.add_row("workers", f"{now.running} of {self.max_workers}", running)
            table.add_row("", "", Text(f"desired {now.desired}, consuming {now.consuming}, draining {now.draining}"))
        last = [Text(event, style="dim", overflow="ellipsis", no_wrap=True) for event in self.events[-LAST_EVENTS:]]
        return Panel(Group(table, Text(), *last), title="airflow-on-ecs", title_align="left", width=width)


def plot(samples: list[Sample], *, trigger_t: float, title: str, path: Path) -> None:
    """Write a PNG of the samples; its time counts from the burst's trigger, in seconds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [s for s in samples if s.t >= trigger_t - 5]
    t = [s.t - trigger_t for s in shown]
    figure, (load, fleet) = plt.subplots(2, 1, sharex=True, figsize=(10, 6), height_ratios=(3, 2), layout="constrained")
    load.fill_between(t, [s.waiting for s in shown], color=WAITING, alpha=0.2, linewidth=0)
    load.plot(t, [s.waiting for s in shown], color=WAITING, label="waiting in Airflow (scheduled or queued)")
    load.plot(t, [s.backlog for s in shown], color=BACKLOG, label="backlog in Redis")
    load.plot(t, [s.active for s in shown], color=RUNNING, label="running on workers")
    load.set_ylabel("tasks")
    load.set_title(title, loc="left")
    fleet.fill_between(t, [s.running for s in shown], step="post", color=WORKERS, alpha=0.35, linewidth=0)
    fleet.step(t, [s.running for s in shown], where="post", color=WORKERS, label="running workers")
    desired = [s.desired for s in shown]
    fleet.step(t, desired, where="post", color=DESIRED, linestyle="--", label="desired by the autoscaler")
    fleet.set_ylabel("workers")
    fleet.set_xlabel("seconds since the burst")
    fleet.step(t, [s.consuming for s in shown], where="post", color=CONSUMING, label="consuming workers")
    # Room above the lines for the legend.
    fleet.set_ylim(0, 1.5 * max(desired + [s.running for s in shown]))
    fleet.yaxis.get_major_locator().set_params(integer=True)
    for axes in (load, fleet):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper right", frameon=False, ncols=3 if axes is fleet else 1)
        axes.set_ylim(bottom=0)
    load.set_xlim(left=0)  # the sample before the trigger begins the lines, outside of the picture
    figure.savefig(path, dpi=110)
    plt.close(figure)
