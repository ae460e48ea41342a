"""Parts that the benchmarks' command lines share: numbers with limits, and the terminal."""

from __future__ import annotations

import argparse
import math
import os
import sys

from rich.console import Console

PIPED_WIDTH = 200  # characters, if the output is no terminal
PROCESSES = min(2, os.cpu_count() or 1)  # trials at a time


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def at_least_one(text: str) -> int:
    return _whole(text, lowest=1)


def at_least_zero(text: str) -> int:
    return _whole(text, lowest=0)


def seconds(text: str) -> float:
    """Return the number of seconds in `text`, which must be above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return number


def _whole(text: str, *, lowest: int) -> int:
    number = int(text)
    if number < lowest:
        raise argparse.ArgumentTypeError(f"{text} is below {lowest}")
    return number
