"""Reads JSON texts from Redis, and tells whether a value in them can be what it is said to be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeGuard

NO_JSON = object()
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


def loads_each(texts: Sequence[bytes | str | None]) -> list[object]:
    """What each text says; None where there is no text, NO_JSON where it is something else than JSON.

    All are read as one array, because for hundreds of them calling json.loads takes as long as what it does. Texts that
    are JSON only together would be seen as others than they are: who asks still looks at what each says.
    """
    there = [text for text in texts if text is not None]
    try:
        found = json.loads(f"[{','.join(map(_decoded, there))}]")
    except (ValueError, RecursionError):
        found = []
    said = iter(found if len(found) == len(there) else map(loads, there))
    return [None if text is None else next(said) for text in texts]


def loads(text: bytes | str) -> object:
    """What one text says, or NO_JSON."""
    try:
        return json.loads(_decoded(text))
    except (ValueError, RecursionError):
        return NO_JSON


def _decoded(text: bytes | str) -> str:
    """Without a guess at the encoding, which json.loads makes of bytes."""
    return text.decode() if isinstance(text, bytes) else text
