"""The parts of a story: one headline with its cause, dated lines, and what one can do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.page.words import count

# Texts, and between them times in seconds since the epoch, which are shown by the reader's clock.
Parts = tuple[str | float, ...]

MOST_NAME = 80  # characters of a name, which a DAG's author chose
MOST_TEXT = 300  # of a text of another program
NAMED = 3

# The kinds of a story: what the reader wants to know.
WAITS, RUNS, DIED, ENDED = "waits", "runs", "died", "ended"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that happened, or is so. `t`: since when or when; None for what has no time."""

    t: float | None
    parts: Parts


@dataclass(frozen=True, kw_only=True)
class Story:
    """`cause`: one word for programs. `advice`: what one can do, none or a few sentences."""

    kind: str
    cause: str
    headline: Parts
    lines: tuple[Line, ...] = ()
    advice: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return it ready for JSON: each sentence as parts, and as text with times in UTC."""
        return {
            "kind": self.kind,
            "cause": self.cause,
            "headline": self.headline,
            "text": in_text(self.headline),
            "lines": [{"t": line.t, "parts": line.parts, "text": in_text(line.parts)} for line in self.lines],
            "advice": self.advice,
        }


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a task is as it is: the headline's middle, and what belongs to it."""

    name: str
    parts: Parts
    lines: tuple[Line, ...] = ()
    advice: tuple[str, ...] = ()


def in_text(parts: Iterable[str | float]) -> str:
    """Return the parts as one text, with times in UTC to the second."""
    return "".join(part if isinstance(part, str) else utc(part) for part in parts)


def utc(t: float) -> str:
    """Return a time such as "2026-12-01 08:31:07 UTC"."""
    return f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S} UTC"


def named(name: str) -> str:
    """Return a name of someone's choice for a sentence."""
    flat = shortened(name, MOST_NAME).replace("`", "'")
    return f"`{flat}`"


def shortened(text: str, most: int = MOST_TEXT) -> str:
    """Return a text in one line of at most `most` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def listed(names: Iterable[str]) -> str:
    """Return the first names, and how many others there are, such as "`a`, `b` and 3 others"."""
    all_names = list(names)
    first, others = [named(name) for name in all_names[:NAMED]], len(all_names) - NAMED
    if others > 0:
        return f"{', '.join(first)} and {count(others, 'other')}"
    return " and ".join(filter(None, (", ".join(first[:-1]), *first[-1:])))


def lasting(seconds: float) -> str:
    """Return a duration as people say it: "41 s", "5 min", "3 h", "2 days"."""
    for limit, unit_s, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, round(seconds / unit_s))} {unit}"
    return f"{round(seconds / 86_400)} days"
