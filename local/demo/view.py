"""Shows on a terminal what the stack is doing; where there is no terminal, a line now and then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.decisions import Decision, Repeated, says_the_same
from local.decisions_view import line, table
from local.demo.samples import Sample

PLAIN_EVERY_S = 5.0
REFRESH_PER_S = 4
LAST_LINES = 6
TREND_WIDTH = 60
BLOCKS = " ▁▂▃▄▅▆▇█"


class View:
    """Steps while the stack comes up, then the burst. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._started = time.monotonic()
        self._step: str | None = None
        self._step_started = self._started
        self._body: Group | None = None
        self._plain_at = 0.0
        self._told: dict[str, Decision] = {}  # the last one told, by pool
        self._noted = ""
        self._live = Live(console=self.console, refresh_per_second=REFRESH_PER_S, get_renderable=self._render)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish("done" if kind is None else "stopped")
        self._body = None
        if self.console.is_terminal:
            self._live.stop()

    def step(self, name: str) -> None:
        """Begin a step; the one before it has ended."""
        self._finish("done")
        self._step, self._step_started = name, time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{self._elapsed():5.0f} s  {name}", soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above the live part."""
        self.console.print(line, soft_wrap=True)

    def burst(
        self, *, states: dict[str, int], total: int, history: list[Sample], events: list[str], max_workers: int
    ) -> None:
        """Show one moment of the burst; `states` counts task instances by Airflow's state."""
        now = history[-1] if history else None
        done = states.get("success", 0)
        if not self.console.is_terminal:
            if now and time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
                self._plain_at = time.monotonic()
                fleet = f"workers {now.running} (desired {now.desired}, draining {now.draining})"
                tasks = f"waiting {now.waiting:3d}  running {now.active:2d}  succeeded {done:3d}/{total}"
                self.console.print(f"{self._elapsed():5.0f} s  {tasks}  {fleet}", soft_wrap=True)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        table.add_column(min_width=9)
        table.add_column()
        succeeded = ProgressBar(total=total, completed=done, width=TREND_WIDTH)
        table.add_row("succeeded", f"{done} / {total}", succeeded)
        if now:
            table.add_row("waiting", str(now.waiting), _trend([s.waiting for s in history], "medium_purple1"))
            table.add_row("backlog", str(now.backlog), _trend([s.backlog for s in history], "dark_orange"))
            table.add_row("running", str(now.active), _trend([s.active for s in history], "steel_blue1"))
            workers = f"{now.running} of {max_workers}"
            table.add_row("workers", workers, _trend([s.running for s in history], "green3", top=max_workers))
            table.add_row("", "", Text(f"desired {now.desired}, consuming {now.consuming}, draining {now.draining}"))
        last = [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in events[-LAST_LINES:]]
        self._body = Group(Panel(Group(table, Text(), *last), title="airflow-on-ecs", title_align="left", width=100))

    def decisions(self, rows: Sequence[Repeated], *, note: str = "") -> None:
        """Show the autoscaler's last decisions; without a terminal, each that says something new, and once."""
        if self.console.is_terminal:
            self._body = Group(table(rows, note=note)) if rows or note else None
            return
        for row in rows:
            before = self._told.get(row.decision["pool"])
            if before is None or (before["t"] < row.decision["t"] and not says_the_same(before, row.decision)):
                self.console.print(line(replace(row, times=1)), soft_wrap=True, markup=False)
                self._told[row.decision["pool"]] = row.decision
        if note and note != self._noted:
            self.console.print(note, soft_wrap=True, markup=False)
        self._noted = note

    def _finish(self, how: str) -> None:
        if self._step is not None and self.console.is_terminal:
            mark = "[green]✓[/]" if how == "done" else "[red]✗[/]"
            self.console.print(f"{mark} {self._step} [dim]{time.monotonic() - self._step_started:.0f} s[/]")
        self._step = None

    def _render(self) -> Group:
        parts: list[Spinner | Group] = [self._body] if self._body else []
        if self._step is not None:
            seconds = time.monotonic() - self._step_started
            parts.append(Spinner("dots", text=f"{self._step} {seconds:.0f} s"))
        return Group(*parts)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


def _trend(values: list[int], style: str, *, top: int | None = None) -> Text:
    """Draw the last values as one line of blocks."""
    shown = values[-TREND_WIDTH:]
    highest = max([*shown, top or 1, 1])
    return Text("".join(BLOCKS[-(-value * (len(BLOCKS) - 1) // highest)] for value in shown), style=style)
