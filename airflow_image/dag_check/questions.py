"""Where dag_check.secrets reports that a connection or a variable was asked for."""

from __future__ import annotations

from collections.abc import Callable

# Set by dag_check.calls in the process that reads a file; it does not return there.
listeners: list[Callable[[str], object]] = []


def report(what: str) -> None:
    """Tell the listeners that `what` was asked for."""
    for each in listeners:
        each(what)
