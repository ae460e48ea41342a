"""Draws figures over time as one line of text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

BLOCKS = " ▁▂▃▄▅▆▇█"
NOT_KNOWN = "·"


def trend(values: Sequence[int | None], style: str, *, width: int, top: int | None = None) -> Text:
    """Draw the last `width` values, as high as the highest of them or `top`; a dot where a value was not known."""
    shown = values[-width:]
    highest = max([*(value for value in shown if value is not None), top or 1, 1])
    return Text("".join(_block(value, highest) for value in shown), style=style)


def _block(value: int | None, highest: int) -> str:
    # Rounded up: one task is more than none, however many there were at other times.
    return NOT_KNOWN if value is None else BLOCKS[-(-value * (len(BLOCKS) - 1) // highest)]
