"""Keeps what a terminal showed as a picture."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, RenderableType

WIDTH, HEIGHT = 120, 100  # columns, lines
# Rich's picture asks another host for its font; a viewer's own monospaced one will do.
FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def save(draw: Callable[[Console], RenderableType], path: Path, *, title: str) -> None:
    """Write an SVG of what `draw` makes of a terminal that is high enough for everything."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_terminal=True, highlight=False)
    console.print(draw(console))
    path.write_text(FONT_FACE.sub("", console.export_svg(title=title, unique_id="terminal")))
