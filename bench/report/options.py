"""What the benchmarks' command lines have in common: numbers with their limits, and the terminal."""

from __future__ import annotations

import argparse
import math
import os
import sys

from rich.console import Console

PIPED_WIDTH = 200  # characters, where there is no terminal to ask
PROCESSES = min(2, os.cpu_count() or 1)  # that simulate at once


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def at_least_one(text: str) -> int:
    return _whole(text, lowest=1)


def at_least_zero(text: str) -> int:
    return _whole(text, lowest=0)


def seconds(text: str) -> float:
    """Above zero."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return number


def _whole(text: str, *, lowest: int) -> int:
    number = int(text)
    if number < lowest:
        raise argparse.ArgumentTypeError(f"{text} is below {lowest}")
    return number
