"""Reads many small JSON texts at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

NO_JSON = object()


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
