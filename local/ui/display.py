"""Shows a command's steps and the stack's state on a terminal; without one, prints a line at intervals."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

PLAIN_EVERY_S = 5.0
REFRESH_PER_S = 4


class Display:
    """The steps, and below them the state that `show()` was given. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._started = time.monotonic()
        self._step: str | None = None
        self._step_started = self._started
        self._body: RenderableType | None = None
        self._plain_at = 0.0
        self._size = self.console.size
        self._live = Live(console=self.console, refresh_per_second=REFRESH_PER_S, get_renderable=self._render)

    def __enter__(self) -> Display:
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
        """Begin a step, and end the one before."""
        self._finish("done")
        self._step, self._step_started = name, time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{self._elapsed():5.0f} s  {name}", soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above the state."""
        self.console.print(line, soft_wrap=True)

    def warn(self, refusal: str) -> None:
        """Print above the state what the stack's AWS API refused. Any thread may call this."""
        self.console.print(f"[yellow]refused:[/] {escape(refusal)}", soft_wrap=True)

    def say_periodically(self, line: str) -> None:
        """Print a line if there is no terminal, at most every PLAIN_EVERY_S seconds."""
        if line and not self.console.is_terminal and time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            self.console.print(f"{self._elapsed():5.0f} s  {line}", soft_wrap=True)

    def show(self, body: RenderableType | None) -> None:
        """Show the state, on a terminal, until the next call."""
        self._body = body

    def _finish(self, how: str) -> None:
        if self._step is not None and self.console.is_terminal:
            mark = "[green]✓[/]" if how == "done" else "[red]✗[/]"
            self.console.print(f"{mark} {self._step} [dim]{time.monotonic() - self._step_started:.0f} s[/]")
        self._step = None

    def _render(self) -> Group:
        if self.console.is_terminal and self.console.size != self._size:
            self._size = self.console.size
            self.console.clear()  # the terminal has wrapped the last frame anew: its lines cannot be found again
        parts: list[RenderableType] = [self._body] if self._body else []
        if self._step is not None:
            seconds = time.monotonic() - self._step_started
            parts.append(Spinner("dots", text=f"{self._step} {seconds:.0f} s"))
        return Group(*parts)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started
