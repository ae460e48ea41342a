#!/usr/bin/env python3
"""Hold the README's badge of the branch coverage against the figure that `make test` measured, or write it anew.

Standard library only. Exit codes: 0 current or written, 1 stale, missing, or nothing measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / ".local" / "coverage.json"
BADGE = ROOT / "docs" / "images" / "coverage.svg"
# Random tests reach a little more or less each time, and a small change need not touch the badge.
TOLERANCE_POINTS = 1.0
SHOWN = re.compile(r"<title>branch coverage of the unit tests: (\d{1,3})%</title>")
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="168" height="20" role="img">
<title>branch coverage of the unit tests: {percent}%</title>
<rect width="168" height="20" rx="3" fill="#24292f"/>
<path d="M120 0h45a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-45z" fill="{color}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="60" y="14">branch coverage</text>
<text x="144" y="14">{percent}%</text>
</g>
</svg>
"""
# White text holds 4.5:1 on each of them.
COLORS = ((85.0, "#1a7f37"), (70.0, "#7d5a00"), (0.0, "#b3261e"))


class NoFigure(ValueError):
    """There is no figure, or none of a measurement of branches. The message is one line."""


def measured(path: Path) -> float:
    """Return the coverage in percent, of lines and branches. Raises NoFigure."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        percent, has_branches = found["totals"]["percent_covered"], found["meta"]["branch_coverage"]
    except (OSError, ValueError, KeyError, TypeError):
        raise NoFigure(f"{path.name} is not a report of coverage: run make test") from None
    is_percent = isinstance(percent, (int, float)) and not isinstance(percent, bool) and 0 <= percent <= 100
    if not is_percent or has_branches is not True:
        raise NoFigure(f"{path.name} has no coverage of branches in percent: run make test")
    return float(percent)


def badge(percent: float) -> str:
    """Return the badge's SVG. It never shows more than was measured."""
    color = next(color for least, color in COLORS if percent >= least)
    return SVG.format(percent=int(percent), color=color)


def is_current(text: str, percent: float) -> bool:
    """Return whether the badge is the one that this tool draws for a figure close enough to `percent`."""
    shown = SHOWN.search(text)
    if shown is None or text != badge(float(shown[1])):
        return False
    return int(shown[1]) - TOLERANCE_POINTS <= percent < int(shown[1]) + 1 + TOLERANCE_POINTS


def main(arguments: Sequence[str] | None = None, *, report: Path = MEASURED, picture: Path = BADGE) -> int:
    """Check or write the badge. Say in one line on standard error what is wrong."""
    parser = argparse.ArgumentParser(prog="coverage_badge", description="Check the badge of the coverage.")
    parser.add_argument("--write", action="store_true", help="write it instead")
    given = parser.parse_args(arguments)
    try:
        percent = measured(report)
        if given.write:
            picture.write_text(badge(percent), encoding="utf-8")
        elif not (picture.is_file() and is_current(picture.read_text(encoding="utf-8"), percent)):
            raise NoFigure(f"{picture.name} does not show {percent:.1f}%: run make badge and commit it")
    except (NoFigure, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"coverage: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
