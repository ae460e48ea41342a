"""Writes hashes, times and durations as people read them in reports."""

from __future__ import annotations

from datetime import UTC, datetime

SHORT = 12  # characters of a hash that tell it from others


def short(text: str) -> str:
    """Return what tells a hash from others; a shorter text whole."""
    return text[:SHORT]


def utc(at: float) -> str:
    """Return a time in seconds since the epoch, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours; a negative one as zero."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
