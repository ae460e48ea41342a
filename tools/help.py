#!/usr/bin/env python3
"""Print the commands of the Makefile in its groups, within 100 columns. Standard library only.

A line `##@ Title` of the Makefile begins a group; `target: ... ## what it does` is a command of it.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

WIDTH = 100
NAME_WIDTH = 17
GROUP = re.compile(r"##@ (?P<title>.+)")
COMMAND = re.compile(r"(?P<name>[a-z-]+):.*?## (?P<text>.+?)(?P<variables> \(.+\))?")


def lines(makefile: str) -> Iterator[str]:
    """Yield the lines of the help. Raises ValueError for a command's name that is wider than its column."""
    for line in makefile.splitlines():
        if group := GROUP.fullmatch(line):
            yield ""
            yield group["title"]
        elif command := COMMAND.fullmatch(line):
            yield from _command(command["name"], command["text"], command["variables"] or "")


def _command(name: str, text: str, variables: str) -> Iterator[str]:
    if len(name) >= NAME_WIDTH:
        raise ValueError(f"{name} is longer than {NAME_WIDTH - 1} characters")
    first, other = f"  {name:{NAME_WIDTH}}", " " * (2 + NAME_WIDTH)
    if len(first + text) <= WIDTH < len(first + text + variables):
        parts = [text, variables.strip()]  # what a caller may set stands together
    else:
        parts = [text + variables]
    for part in filter(None, parts):
        yield from textwrap.wrap(
            part,
            WIDTH,
            initial_indent=first,
            subsequent_indent=other,
            break_long_words=False,
            break_on_hyphens=False,
        )
        first = other


def main() -> None:
    makefile = Path(__file__).resolve().parents[1] / "Makefile"
    sys.stdout.write("make COMMAND [VARIABLE=value ...]\n")
    sys.stdout.writelines(f"{line}\n" for line in lines(makefile.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
