"""Numbers on the benchmarks' command lines, with their limits."""

from __future__ import annotations

import argparse
import math


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
