"""Which Redis lists hold the messages of a Celery queue."""

from __future__ import annotations

# How kombu's Redis transport spreads a queue over lists (its default sep and priority_steps; step 0 has no suffix).
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (3, 6, 9)


def lists_of(queue: str) -> tuple[str, ...]:
    """The Redis lists that hold a queue's messages."""
    return (queue, *(f"{queue}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS))
