"""Reads JSON texts from Redis and checks whether their values are plausible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeGuard

NO_JSON = object()
LATEST_S = 1e11  # some three thousand years from now; neither NaN nor infinity is below it
MOST = 10**9  # above every count in the registry


def is_text(value: object) -> bool:
    """Return whether the value is text, which may be empty."""
    return isinstance(value, str)


def is_name(value: object) -> TypeGuard[str]:
    """Return whether the value is text that is not empty."""
    return isinstance(value, str) and value != ""


def is_text_or_none(value: object) -> bool:
    """Return whether the value is text or None."""
    return value is None or isinstance(value, str)


def is_list_of_text(value: object) -> bool:
    """Return whether the value is a list of texts."""
    return isinstance(value, list) and all(map(is_text, value))


def is_flag(value: object) -> bool:
    """Return whether the value is true or false; 0 and 1 are not."""
    return type(value) is bool


def is_count(value: Any) -> bool:
    """Return whether the value is a whole number from 0 to below MOST."""
    return type(value) is int and 0 <= value < MOST


def is_figure(value: Any) -> bool:
    """Return whether the value is a count, or None for an unknown one."""
    return value is None or is_count(value)


def is_time(value: Any) -> bool:
    """Return whether the value can be seconds since the epoch; an integer beyond a float's range cannot."""
    return type(value) in (int, float) and 0 <= value < LATEST_S


def loads_each(texts: Sequence[bytes | str | None]) -> list[object]:
    """Parse each text; return None for a missing text and NO_JSON for one that is not JSON.

    All texts are parsed as one array: for hundreds of texts the calls of json.loads cost as much as the parsing. Texts
    that are JSON only together yield wrong values, so callers must still check each value.
    """
    there = [text for text in texts if text is not None]
    try:
        found = json.loads(f"[{','.join(map(_decoded, there))}]")
    except (ValueError, RecursionError):
        found = []
    values = iter(found if len(found) == len(there) else map(loads, there))
    return [None if text is None else next(values) for text in texts]


def loads(text: bytes | str) -> object:
    """Parse one text; return NO_JSON if it is not JSON."""
    try:
        return json.loads(_decoded(text))
    except (ValueError, RecursionError):
        return NO_JSON


def _decoded(text: bytes | str) -> str:
    """Decode UTF-8; json.loads would guess the encoding of bytes."""
    return text.decode() if isinstance(text, bytes) else text
