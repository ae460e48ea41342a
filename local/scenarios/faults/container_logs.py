"""Counts what containers have logged: what shows that a fault reached them."""

from __future__ import annotations

from project import paths


def count_lines(service: str, container: str, text: str) -> int:
    """Return how many lines with `text` the service's containers of that name have logged since the stack began."""
    logs = (paths.LOGS / service).glob(f"{container}-*.log")
    return sum(line.count(text) > 0 for log in logs for line in log.read_text(errors="replace").splitlines())
