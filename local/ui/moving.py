"""A moving picture of a terminal: one SVG, whose frames follow each other without a script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.text import Text

from local.ui.screen import picture, picture_console

Draw = Callable[[Console], RenderableType]
SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
HIDDEN, SHOWN = "visibility: hidden", "visibility: visible"


class Frames:
    """Draws of what was shown, evenly in time: at most `most`, of which every second goes when there is one more."""

    def __init__(self, *, every_s: float, most: int) -> None:
        self.draws: list[Draw] = []
        self._every_s, self._most, self._next_at = every_s, most, 0.0

    def add(self, draw: Draw, *, now: float) -> None:
        """Take a frame, unless the last one is too young. `now`: in seconds, by any clock that only rises."""
        if now < self._next_at:
            return
        self.draws.append(draw)
        if len(self.draws) > self._most:
            del self.draws[1::2]
            self._every_s *= 2
        self._next_at = now + self._every_s


def moving_picture(draws: Sequence[Draw], *, still: Draw, title: str, frame_s: float = 1.5, last_s: float = 3.0) -> str:
    """Return the frames as one SVG that begins again after `last_s` of the last one.

    `still`: what is shown where the viewer wants no motion. Raises ValueError without frames.
    """
    if not draws:
        raise ValueError("a moving picture needs a frame")
    lines = max(map(_lines, (*draws, still)))
    pictures = [picture(_filled(draw, lines), title=title, name=f"f{n}") for n, draw in enumerate((*draws, still))]
    whole_s = frame_s * (len(draws) - 1) + last_s
    begins = [frame_s * number / whole_s * 100 for number in range(len(draws))]
    rules, content = [], []
    for number, (begin, end) in enumerate(pairwise((*begins, 100.0))):
        rules.append(f"@keyframes at{number} {{ {begin:.3f}% {{ {SHOWN} }} {end:.3f}% {{ {HIDDEN} }} }}")
        rules.append(f".frame{number} {{ {HIDDEN}; animation: at{number} {whole_s:g}s step-end infinite }}")
        content.append(f'<g class="frame{number}">{pictures[number]}</g>')
    content.append(f'<g class="still">{pictures[-1]}</g>')
    every = ", ".join(f".frame{number}" for number in range(len(draws)))
    rules.append(f".still {{ {HIDDEN} }}")
    rules.append(f"@media (prefers-reduced-motion: reduce) {{ {every} {{ animation: none }} .still {{ {SHOWN} }} }}")
    width, height = SIZE.search(pictures[0]).groups()  # type: ignore[union-attr] # Rich writes it
    style = "\n".join(rules)
    return (
        f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">\n<style>\n{style}\n</style>\n'
        + "\n".join(content)
        + "\n</svg>\n"
    )


def _lines(draw: Draw) -> int:
    console = picture_console()
    return len(console.render_lines(draw(console), pad=False))


def _filled(draw: Draw, lines: int) -> Draw:
    """Return what draws the same, and blank lines below it: the window keeps its size."""

    def filled(console: Console) -> RenderableType:
        shown = draw(console)
        missing = lines - len(console.render_lines(shown, pad=False))
        return Group(shown, *(Text() for _ in range(missing)))

    return filled
