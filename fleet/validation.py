"""Whether a value that was read from Redis can be what it is said to be."""

from __future__ import annotations

from typing import Any, TypeGuard

LATEST_S = 1e11  # some three thousand years from now; neither NaN nor infinity is below it
MOST = 10**9  # of anything that is counted here


def is_text(value: object) -> bool:
    """Whether it is text, which may be empty."""
    return isinstance(value, str)


def is_name(value: object) -> TypeGuard[str]:
    """Whether it is text that says something."""
    return isinstance(value, str) and value != ""


def is_text_or_none(value: object) -> bool:
    """Whether it is text, or nothing is known."""
    return value is None or isinstance(value, str)


def is_list_of_text(value: object) -> bool:
    """Whether it is a list, and each of its entries text."""
    return isinstance(value, list) and all(map(is_text, value))


def is_flag(value: object) -> bool:
    """Whether it is true or false, and no number that could be taken for it."""
    return type(value) is bool


def is_count(value: Any) -> bool:
    """Whether as many of something can be there."""
    return type(value) is int and 0 <= value < MOST


def is_figure(value: Any) -> bool:
    """Whether it is a count, or None for one that was not known."""
    return value is None or is_count(value)


def is_time(value: Any) -> bool:
    """Whether it may be seconds since the epoch. (An integer beyond a float's range would raise elsewhere.)"""
    return type(value) in (int, float) and 0 <= value < LATEST_S
