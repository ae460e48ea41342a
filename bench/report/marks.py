"""Puts figures into a document, between two marks that stand in it."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- make bench writes the figures from here -->", "<!-- to here -->"


def put_between(path: Path, text: str) -> None:
    """Replaces what stands between the two marks. Raises ValueError when they are not there."""
    before, begun, rest = path.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{path} lacks the marks between which the figures belong")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
